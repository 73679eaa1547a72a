package apps

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet"
)

// Agent is a DaemonSet as every cluster has some: what each further node costs beyond the pods on it.
func Agent() (*appsv1.DaemonSet, error) {
	usage, err := declare("agent", 10, 40, 0)
	if err != nil {
		return nil, err
	}
	const name = "node-agent"
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name},
		Spec: appsv1.DaemonSetSpec{
			Selector: selector(name),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{nameLabel: name}, Annotations: map[string]string{kubelet.AnnotationUsage: usage}},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To(int64(1)),
					PriorityClassName:             "system-node-critical",
					Containers: []corev1.Container{{
						Name: "agent", Image: "node-agent", Resources: corev1.ResourceRequirements{Requests: Amount{MilliCPU: 50, MemoryMi: 64}.list()},
					}},
					Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
				},
			},
		},
	}, nil
}

// Batch is work that comes and goes: Jobs with so many pods each, of one core and 1 GiB, each running for a while.
type Batch struct {
	Jobs, PodsPerJob int32
	RunFor           time.Duration
}

// Pods of all Jobs.
func (b Batch) Pods() int { return int(b.Jobs * b.PodsPerJob) }

// Namespace of the batch.
func (b Batch) Namespace() client.Object { return namespace(BatchNamespace) }

// Objects are the Jobs. They prefer spot and go through our scheduler.
func (b Batch) Objects() ([]client.Object, error) {
	usage, err := declare("work", 900, 700, 0)
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	for i := range b.Jobs {
		name := fmt.Sprintf("report-%d", i+1)
		objects = append(objects, &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Namespace: BatchNamespace, Name: name},
			Spec: batchv1.JobSpec{
				Parallelism: ptr.To(b.PodsPerJob), Completions: ptr.To(b.PodsPerJob),
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{
						Labels: map[string]string{nameLabel: name},
						Annotations: map[string]string{
							kubelet.AnnotationUsage: usage, kubelet.AnnotationRunFor: b.RunFor.String(),
							v1alpha1.SpotAnnotation: string(v1alpha1.SpotPrefer),
						},
					},
					Spec: corev1.PodSpec{
						SchedulerName: OurScheduler, RestartPolicy: corev1.RestartPolicyNever,
						TerminationGracePeriodSeconds: ptr.To(gracePeriod),
						Containers: []corev1.Container{{
							Name: "work", Image: "batch/report", Resources: corev1.ResourceRequirements{Requests: Amount{MilliCPU: 1000, MemoryMi: 1024}.list()},
						}},
					},
				},
			},
		})
	}
	return objects, nil
}
