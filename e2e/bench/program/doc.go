// Package program is what the programs that compare two engines have in common: how they start and end, the flags that mean
// the same in each, the pods that a user brings, and the row that each writes.
package program
