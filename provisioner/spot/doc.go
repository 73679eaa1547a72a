// Package spot acts on what happens to spot capacity: it answers interruption notices by having a replacement bought before
// the pods are drained, and says which nodes a pod may use by what it tolerates of spot.
package spot
