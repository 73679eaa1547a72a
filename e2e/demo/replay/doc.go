// Package replay makes measured usage happen again: it reads pod usage from a CSV file and is the usage of simulated pods whose
// service has the same name.
package replay
