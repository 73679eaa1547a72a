package apps

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet"
)

const (
	// nameLabel carries the name of the service on its objects and pods.
	nameLabel = "app.kubernetes.io/name"
	// TierLabel separates services, which are rightsized unattended, from data, which is not.
	TierLabel = "app.kubernetes.io/component"
	// TierService is the value of TierLabel on services.
	TierService = "service"
	// TierData is the value of TierLabel on databases and brokers.
	TierData = "data"

	// minAvailable is of the budget of services whose replicas are many; fewer may lose one at a time.
	minAvailable = "70%"
	manyReplicas = 6
	gracePeriod  = int64(10) // seconds
)

// Objects are those of the application, in the order to create them: namespace, disruption budgets, Deployments.
func (a Application) Objects(seed int64) ([]client.Object, error) {
	objects := []client.Object{namespace(a.Namespace)}
	for i := range a.Services {
		if s := &a.Services[i]; s.Replicas > 1 {
			objects = append(objects, a.budget(s))
		}
	}
	for i := range a.Services {
		d, err := a.Deployment(seed, a.Services[i])
		if err != nil {
			return nil, err
		}
		objects = append(objects, d)
	}
	return objects, nil
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func (a Application) budget(s *Service) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: s.Name},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: selector(s.Name)},
	}
	if s.Replicas >= manyReplicas && s.Spreading != SpreadZones {
		b.Spec.MinAvailable = ptr.To(intstr.FromString(minAvailable))
	} else {
		b.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(1))
	}
	return b
}

func selector(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: name}}
}

// Deployment of one service of the application.
func (a Application) Deployment(seed int64, s Service) (*appsv1.Deployment, error) {
	usage, err := usageOf(seed, a.Namespace, s)
	if err != nil {
		return nil, err
	}
	tier := TierService
	annotations := map[string]string{kubelet.AnnotationUsage: usage}
	scheduler := a.Scheduler
	if s.Data {
		// The default scheduler does not know of spot: what must not be there is placed by ours.
		tier, scheduler = TierData, OurScheduler
		annotations[v1alpha1.SpotAnnotation] = string(v1alpha1.SpotNever)
	}
	labels := map[string]string{nameLabel: s.Name, TierLabel: tier}
	spec := corev1.PodSpec{
		SchedulerName:                 scheduler,
		TerminationGracePeriodSeconds: ptr.To(gracePeriod),
		Containers: []corev1.Container{{
			Name: s.Container, Image: fmt.Sprintf("%s/%s", a.Namespace, s.Name),
			Resources: corev1.ResourceRequirements{Requests: s.Requests.list(), Limits: s.Limits.list()},
		}},
	}
	if s.Replicas > 1 {
		s.keepApart(&spec)
	}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: s.Name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(s.Replicas), Selector: selector(s.Name),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations}, Spec: spec},
		},
	}
	if s.Data { // two of them must not write to the same data
		d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
	}
	return d, nil
}

func (s *Service) keepApart(spec *corev1.PodSpec) {
	constraint := corev1.TopologySpreadConstraint{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: selector(s.Name),
	}
	switch s.Spreading {
	case SpreadLoosely:
	case SpreadZones:
		constraint.WhenUnsatisfiable = corev1.DoNotSchedule
	case SpreadHosts:
		constraint.TopologyKey, constraint.MaxSkew, constraint.WhenUnsatisfiable = corev1.LabelHostname, 2, corev1.DoNotSchedule
	case SpreadApart:
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
				Weight:          50,
				PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: selector(s.Name)},
			}},
		}}
		return
	}
	spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{constraint}
}

func (a Amount) list() corev1.ResourceList {
	if a == (Amount{}) {
		return nil
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(a.MilliCPU, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(a.MemoryMi<<20, resource.BinarySI),
	}
}
