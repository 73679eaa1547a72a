// Package manifests holds what an installation consists of, for programs that install it themselves: the sandbox, tests and
// the CLI read the very files that kustomize installs, so that none of them can differ from a real installation.
package manifests

import "embed"

// CRDs holds every custom resource definition, ours and Karpenter's, as crds/<group>_<plural>.yaml; one object per file.
//
//go:embed crds/*.yaml
var CRDs embed.FS

// RBAC holds namespace.yaml and, for each component, rbac/<component>/{serviceaccount,role,binding}.yaml, and rbac/users.yaml
// with what people may do. A file may hold several objects.
//
//go:embed namespace.yaml rbac
var RBAC embed.FS

// Guards holds the admission policies that bound what our own ServiceAccounts may do, as guard/<topic>.yaml.
//
//go:embed guard/*.yaml
var Guards embed.FS

// SchedulerConfig is the KubeSchedulerConfiguration that supercargo-scheduler runs with.
//
//go:embed deploy/scheduler-config.yaml
var SchedulerConfig []byte

// Examples holds objects to start from, as examples/<topic>.yaml. A file may hold several objects.
//
//go:embed examples/*.yaml
var Examples embed.FS
