package main

// What the scheduler's ServiceAccount may do. `make generate` writes manifests/rbac/scheduler/role.yaml from the markers.
//
// First what kube-scheduler itself needs: the built-in ClusterRoles system:kube-scheduler and system:volume-scheduler of
// Kubernetes 1.36, written out so that the lease can be our own and so that a reader sees everything in one place.

// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch;update
// +kubebuilder:rbac:groups="",resources=nodes;namespaces;services;replicationcontrollers,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups="",resources=bindings;pods/binding,verbs=create
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch;update
// +kubebuilder:rbac:groups="",resources=pods/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=persistentvolumes;persistentvolumeclaims,verbs=get;list;watch;patch;update
// +kubebuilder:rbac:groups=apps,resources=replicasets;statefulsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups=storage.k8s.io,resources=csidrivers;csinodes;csistoragecapacities;storageclasses;volumeattachments,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=deviceclasses;resourceslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims,verbs=get;list;watch;create;delete;patch;update
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims/status,verbs=get;list;watch;patch;update
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims/binding,verbs=patch;update

// Not among it: reviews of tokens and access. Metrics and health are served without asking who wants to know, like those of our
// other components.

// Then what the plugins read: recommendations, how much spot a workload wants, and which nodes are about to go.

// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalers;placementpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=karpenter.sh,resources=nodeclaims,verbs=get;list;watch

// The lease of its own. A name cannot restrict create.

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,resourceNames=supercargo-scheduler,verbs=get;update;patch
