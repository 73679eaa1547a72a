// Package report turns the rows that a benchmark measures into what people and programs read: a table, a JSON array, plots,
// a list of bars that were met or missed, and a generated part of a page of docs/. It knows nothing of what is measured.
package report
