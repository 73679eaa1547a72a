package main

// What the provisioner's ServiceAccount may do. `make generate` writes manifests/rbac/provisioner/role.yaml from the markers.
// It has no access to any secret.
//
// Karpenter's node lifecycle, as the ClusterRoles of Karpenter's own chart grant it.

// +kubebuilder:rbac:groups=karpenter.sh,resources=nodepools;nodepools/status;nodeoverlays;nodeoverlays/status,verbs=get;list;watch
// +kubebuilder:rbac:groups=karpenter.sh,resources=nodepools;nodepools/status;nodepools/finalizers;nodeoverlays/status,verbs=update;patch
// +kubebuilder:rbac:groups=karpenter.sh,resources=nodeclaims;nodeclaims/status,verbs=get;list;watch
// +kubebuilder:rbac:groups=karpenter.sh,resources=nodeclaims;nodeclaims/status;nodeclaims/finalizers,verbs=create;delete;update;patch
// +kubebuilder:rbac:groups=autoscaling.x-k8s.io,resources=capacitybuffers;capacitybuffers/status,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups="",resources=pods;nodes;namespaces;persistentvolumes;persistentvolumeclaims;replicationcontrollers;podtemplates,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=patch;delete;update
// +kubebuilder:rbac:groups="",resources=pods,verbs=delete
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch;update
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses;csinodes;volumeattachments,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=daemonsets;deployments;replicasets;statefulsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=kube-node-lease,resources=leases,verbs=get;list;watch;delete

// What is ours: a pending pod is resized to its recommendation before a node is bought for it, and told which node that is
// (status.nominatedNodeName).

// +kubebuilder:rbac:groups="",resources=pods/resize;pods/status,verbs=patch
// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalers;placementpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalers/status,verbs=patch
// +kubebuilder:rbac:groups=supercargo.dev,resources=simnodeclasses;simnodeclasses/status,verbs=get;list;watch;update;patch

// The lease of its own. A name cannot restrict create.

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,resourceNames=supercargo-provisioner,verbs=get;update;patch

// Whether another program buys nodes here, by the leases of those known.

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=kube-system,resources=leases,resourceNames=cluster-autoscaler;karpenter-leader-election,verbs=get
