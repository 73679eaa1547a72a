// Package resizecases is one table of in-place resizes and what a kubelet makes of them, to be run against every kubelet there
// is: the simulated machine alone, the simulated fleet behind an API server, and a real kubelet.
package resizecases

import corev1 "k8s.io/api/core/v1"

// Case is a sequence of resizes on a node that has 2 CPUs and 2Gi of memory allocatable, and nothing else on it.
type Case struct {
	Name  string
	Pods  []Pod  // created in this order, and running before the first step
	Steps []Step // each begins when the state of the one before is reached
	// StaticCPUManager says that the node has CPU manager policy static.
	StaticCPUManager bool
}

// Pod is a pod with one container, "main".
type Pod struct {
	Name     string
	Requests string // "cpu memory", "-" for none
	Limits   string
	Priority int32
	Policy   []corev1.ContainerResizePolicy
	Memory   string // what the container uses; a little when empty
}

// Step does one thing and says what comes of it.
type Step struct {
	Resize, Delete   string // the pod
	Requests, Limits string // of Resize
	Memory           string // of Resize: from now on the container uses so much; as before when empty
	Want             map[string]State
}

// State is what a pod's status says in the end.
type State struct {
	Pending    string // reason of PodResizePending, empty when there is no such condition
	InProgress string // reason of PodResizeInProgress, empty when there is no such condition
	// Allocated and Actual are "cpu memory": the requests in allocatedResources and in resources, Limits the limits in
	// resources ("-" for none).
	Allocated, Actual, Limits string
	Restarts                  int32
}

func settled(requests, limits string) State {
	return State{Allocated: requests, Actual: requests, Limits: limits}
}

// Cases returns the table.
func Cases() []Case {
	restart := []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}}
	return []Case{
		{
			Name: "cpu and memory grow and shrink without a restart",
			Pods: []Pod{{Name: "a", Requests: "500m 256Mi", Limits: "1 512Mi"}},
			Steps: []Step{
				{Resize: "a", Requests: "800m 512Mi", Limits: "1500m 1Gi", Want: map[string]State{"a": settled("800m 512Mi", "1500m 1Gi")}},
				{Resize: "a", Requests: "100m 128Mi", Limits: "200m 256Mi", Want: map[string]State{"a": settled("100m 128Mi", "200m 256Mi")}},
			},
		},
		{
			Name:  "a resize to all the node has fits",
			Pods:  []Pod{{Name: "a", Requests: "500m 256Mi"}},
			Steps: []Step{{Resize: "a", Requests: "2 2Gi", Want: map[string]State{"a": settled("2 2Gi", "- -")}}},
		},
		{
			Name: "a resize that is taken back leaves nothing",
			Pods: []Pod{{Name: "a", Requests: "1 256Mi"}, {Name: "b", Requests: "500m 256Mi"}},
			Steps: []Step{
				{Resize: "b", Requests: "1500m 256Mi", Want: map[string]State{
					"b": {Pending: "Deferred", Allocated: "500m 256Mi", Actual: "500m 256Mi", Limits: "- -"},
				}},
				{Resize: "b", Requests: "500m 256Mi", Want: map[string]State{"b": settled("500m 256Mi", "- -")}},
			},
		},
		{
			Name: "a deferred resize is allocated when a pod goes",
			Pods: []Pod{{Name: "a", Requests: "1 256Mi"}, {Name: "b", Requests: "500m 256Mi"}},
			Steps: []Step{
				{Resize: "b", Requests: "1500m 256Mi", Want: map[string]State{
					"b": {Pending: "Deferred", Allocated: "500m 256Mi", Actual: "500m 256Mi", Limits: "- -"},
				}},
				{Delete: "a", Want: map[string]State{"b": settled("1500m 256Mi", "- -")}},
			},
		},
		{
			Name: "a deferred resize is allocated when another pod shrinks",
			Pods: []Pod{{Name: "a", Requests: "1 1Gi"}, {Name: "b", Requests: "500m 512Mi"}},
			Steps: []Step{
				{Resize: "b", Requests: "500m 1536Mi", Want: map[string]State{
					"b": {Pending: "Deferred", Allocated: "500m 512Mi", Actual: "500m 512Mi", Limits: "- -"},
				}},
				{Resize: "a", Requests: "1 512Mi", Want: map[string]State{
					"a": settled("1 512Mi", "- -"), "b": settled("500m 1536Mi", "- -"),
				}},
			},
		},
		{
			Name: "of two deferred resizes the one of higher priority goes first",
			Pods: []Pod{{Name: "a", Requests: "1 64Mi"}, {Name: "low", Requests: "100m 64Mi"}, {Name: "high", Requests: "100m 64Mi", Priority: 100}},
			Steps: []Step{
				{Resize: "low", Requests: "1500m 64Mi", Want: map[string]State{
					"low": {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "- -"},
				}},
				{Resize: "high", Requests: "1500m 64Mi", Want: map[string]State{
					"high": {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "- -"},
				}},
				{Delete: "a", Want: map[string]State{
					"high": settled("1500m 64Mi", "- -"),
					"low":  {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "- -"},
				}},
			},
		},
		{
			Name: "of two deferred resizes a guaranteed pod's goes first",
			Pods: []Pod{{Name: "a", Requests: "1 64Mi"}, {Name: "burstable", Requests: "100m 64Mi"}, {Name: "guaranteed", Requests: "100m 64Mi", Limits: "100m 64Mi"}},
			Steps: []Step{
				{Resize: "burstable", Requests: "1500m 64Mi", Want: map[string]State{
					"burstable": {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "- -"},
				}},
				{Resize: "guaranteed", Requests: "1500m 64Mi", Limits: "1500m 64Mi", Want: map[string]State{
					"guaranteed": {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "100m 64Mi"},
				}},
				{Delete: "a", Want: map[string]State{
					"guaranteed": settled("1500m 64Mi", "1500m 64Mi"),
					"burstable":  {Pending: "Deferred", Allocated: "100m 64Mi", Actual: "100m 64Mi", Limits: "- -"},
				}},
			},
		},
		{
			Name: "the policy asks for a restart when memory changes, and not when only cpu does",
			Pods: []Pod{{Name: "a", Requests: "500m 256Mi", Limits: "1 512Mi", Policy: restart}},
			Steps: []Step{
				{Resize: "a", Requests: "600m 256Mi", Limits: "1 512Mi", Want: map[string]State{"a": settled("600m 256Mi", "1 512Mi")}},
				{Resize: "a", Requests: "600m 300Mi", Limits: "1 512Mi", Want: map[string]State{
					"a": {Allocated: "600m 300Mi", Actual: "600m 300Mi", Limits: "1 512Mi", Restarts: 1},
				}},
			},
		},
		{
			Name: "a memory limit below usage is an error until it is raised",
			Pods: []Pod{{Name: "a", Requests: "100m 128Mi", Limits: "1 512Mi", Memory: "300Mi"}},
			Steps: []Step{
				{Resize: "a", Requests: "100m 128Mi", Limits: "1 200Mi", Want: map[string]State{
					"a": {InProgress: "Error", Allocated: "100m 128Mi", Actual: "100m 128Mi", Limits: "1 512Mi"},
				}},
				{Resize: "a", Requests: "100m 128Mi", Limits: "1 400Mi", Want: map[string]State{"a": settled("100m 128Mi", "1 400Mi")}},
			},
		},
		{
			Name: "a memory limit below usage takes effect when usage falls",
			Pods: []Pod{{Name: "a", Requests: "100m 128Mi", Limits: "1 512Mi", Memory: "300Mi"}},
			Steps: []Step{
				{Resize: "a", Requests: "100m 128Mi", Limits: "1 200Mi", Want: map[string]State{
					"a": {InProgress: "Error", Allocated: "100m 128Mi", Actual: "100m 128Mi", Limits: "1 512Mi"},
				}},
				{Resize: "a", Requests: "100m 128Mi", Limits: "1 200Mi", Memory: "100Mi", Want: map[string]State{
					"a": settled("100m 128Mi", "1 200Mi"),
				}},
			},
		},
		{
			Name: "a policy that restarts needs no room below the usage",
			Pods: []Pod{{Name: "a", Requests: "100m 128Mi", Limits: "1 512Mi", Memory: "64Mi", Policy: restart}},
			Steps: []Step{{Resize: "a", Requests: "100m 128Mi", Limits: "1 200Mi", Want: map[string]State{
				"a": {Allocated: "100m 128Mi", Actual: "100m 128Mi", Limits: "1 200Mi", Restarts: 1},
			}}},
		},
		{
			Name:             "with the static cpu manager a guaranteed pod's cpu cannot change",
			StaticCPUManager: true,
			Pods:             []Pod{{Name: "a", Requests: "1 128Mi", Limits: "1 128Mi"}},
			Steps: []Step{
				{Resize: "a", Requests: "1500m 128Mi", Limits: "1500m 128Mi", Want: map[string]State{
					"a": {Pending: "Infeasible", Allocated: "1 128Mi", Actual: "1 128Mi", Limits: "1 128Mi"},
				}},
				{Resize: "a", Requests: "1 256Mi", Limits: "1 256Mi", Want: map[string]State{"a": settled("1 256Mi", "1 256Mi")}},
			},
		},
		{
			Name: "a resize that waits gives way to a smaller one of the same pod",
			Pods: []Pod{{Name: "a", Requests: "1 64Mi"}, {Name: "b", Requests: "500m 64Mi"}},
			Steps: []Step{
				{Resize: "b", Requests: "1800m 64Mi", Want: map[string]State{
					"b": {Pending: "Deferred", Allocated: "500m 64Mi", Actual: "500m 64Mi", Limits: "- -"},
				}},
				{Resize: "b", Requests: "1 64Mi", Want: map[string]State{"b": settled("1 64Mi", "- -")}},
			},
		},
	}
}
