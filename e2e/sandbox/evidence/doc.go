// Package evidence is what scenarios give components of a sandbox to go by, and what these leave behind: usage of the past, the
// history that the recommender has kept, and the requests in the audit log.
package evidence
