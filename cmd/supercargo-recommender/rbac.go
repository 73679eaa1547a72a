package main

// What the recommender's ServiceAccount may do. `make generate` writes manifests/rbac/recommender/role.yaml from the markers.
// What is read through the cache needs list and watch, not get.
//
// Its own objects: it discovers workloads, writes WorkloadScalers for them and reports on policies.

// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalerrules;autoscalingpolicies;recommendationpolicies,verbs=list;watch
// +kubebuilder:rbac:groups=supercargo.dev,resources=workloadscalers/status;workloadscalerrules/status;autoscalingpolicies/status;recommendationpolicies/status,verbs=patch

// What it looks at: workloads and what bounds them. A ReplicaSet or Job that the cache has not seen yet is read by name when a pod
// of it is created; Rollouts are not cached at all. Other custom kinds need a role of their own.

// +kubebuilder:rbac:groups="",resources=pods;nodes;limitranges;resourcequotas,verbs=list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=list;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=cronjobs,verbs=list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts/scale,verbs=get
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=list;watch

// Usage: kubelet's /metrics/resource through the apiserver's node proxy.

// +kubebuilder:rbac:groups="",resources=nodes/proxy,verbs=get

// How it acts: resize in place, eviction (which honours disruption budgets), or a rollout through the pod template of a Deployment.

// +kubebuilder:rbac:groups="",resources=pods/resize,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods/eviction,verbs=create
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=patch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Its webhook: one configuration and one certificate, by name. A name cannot restrict create. Pods are created in its own namespace
// as a dry run, to see whether the webhook works; RBAC cannot say "dry run only".

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=supercargo-recommender,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=supercargo-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=supercargo-system,resources=secrets,resourceNames=supercargo-recommender-webhook,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=supercargo-system,resources=pods,verbs=create

// Checkpoints of usage history, the state of rate limits and the pause switch, in its own namespace, and the lease of its own.

// +kubebuilder:rbac:groups="",namespace=supercargo-system,resources=configmaps,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=supercargo-system,resources=leases,resourceNames=supercargo-recommender,verbs=get;update
