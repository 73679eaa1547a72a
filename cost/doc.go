// Package cost says what runs for whom and for how much.
//
// It is pure: nodes with prices and pods with requests and usage go in, allocations come out. Money is counted in whole
// nano-USD, so that what is allocated and what is idle add up to what is paid exactly, at every instant.
package cost
