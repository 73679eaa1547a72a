// Package recommender measures Supercargo's estimate beside the Vertical Pod Autoscaler's, which runs from its own
// packages in the same process on the same samples in the same order.
//
// Quality is replayed: traces of real usage go through an engine minute by minute, its recommendation is applied every
// half hour, and the half hour that follows judges it. Scale is measured on synthetic containers.
package recommender
