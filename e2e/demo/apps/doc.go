// Package apps holds the applications of the demo as Kubernetes objects: two published microservice applications at the
// requests and limits that their manifests state, a batch of Jobs, and what a cluster needs to run them; and the history of what
// their pods are said to have used.
//
// It builds objects and text and talks to nobody: package demo installs them.
package apps
