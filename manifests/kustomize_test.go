package manifests

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	schedulerconfigv1 "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const namespace = "supercargo-system"

func components() []string { return []string{"provisioner", "recommender", "scheduler"} }

// TestTheRecommenderCanListenOnItsNode builds what a user's own kustomization makes of the installation and the option.
func TestTheRecommenderCanListenOnItsNode(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	to, err := filepath.Rel(overlay, here)
	if err != nil {
		t.Fatal(err)
	}
	text := "resources: [" + to + "]\ncomponents: [" + to + "/options/host-network]\n"
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := build(t, overlay)
	d := pick[*appsv1.Deployment](objects)[namespace+"/supercargo-recommender"]
	if spec := d.Spec.Template.Spec; !spec.HostNetwork || spec.DNSPolicy != corev1.DNSClusterFirstWithHostNet {
		t.Errorf("host network %t, DNS %s", spec.HostNetwork, spec.DNSPolicy)
	}
	if ns := pick[*corev1.Namespace](objects)[namespace]; ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("labels of the namespace %v", ns.Labels)
	}
}

// TestEveryComponentIsProbedAndBounded: liveness and readiness are probed, memory is requested and limited, and the collector knows it.
func TestEveryComponentIsProbedAndBounded(t *testing.T) {
	deployments := pick[*appsv1.Deployment](installation(t))
	for _, name := range components() {
		c := deployments[namespace+"/supercargo-"+name].Spec.Template.Spec.Containers[0]
		_, requested := c.Resources.Requests[corev1.ResourceMemory]
		_, limited := c.Resources.Limits[corev1.ResourceMemory]
		told := slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if c.LivenessProbe == nil || c.ReadinessProbe == nil || !requested || !limited || !told {
			t.Errorf("%s: liveness %v, readiness %v, resources %v, GOMEMLIMIT %t", name, c.LivenessProbe, c.ReadinessProbe, c.Resources, told)
		}
	}
}

// installation is what `kubectl apply -k manifests` sends, each object decoded strictly: an unknown or repeated field fails.
func installation(t *testing.T) []runtime.Object {
	t.Helper()
	return build(t, ".")
}

// build is what a kustomization in a folder makes.
func build(t *testing.T, folder string) []runtime.Object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatalf("building the kustomization: %v", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	objects := make([]runtime.Object, 0, resources.Size())
	for _, r := range resources.Resources() {
		raw, err := r.AsYAML()
		if err != nil {
			t.Fatalf("%s: %v", r.CurId(), err)
		}
		object, _, err := decoder.Decode(raw, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", r.CurId(), err)
		}
		objects = append(objects, object)
	}
	return objects
}

// pick returns the objects of one type by "namespace/name", or "name" where there is no namespace.
func pick[T metav1.Object](objects []runtime.Object) map[string]T {
	picked := map[string]T{}
	for _, object := range objects {
		if typed, ok := object.(T); ok {
			picked[strings.TrimPrefix(typed.GetNamespace()+"/"+typed.GetName(), "/")] = typed
		}
	}
	return picked
}

func TestEveryManifestIsInstalled(t *testing.T) {
	var list struct {
		Resources []string `json:"resources"`
	}
	raw, err := filesys.MakeFsOnDisk().ReadFile("kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	onDisk := []string{"deploy/provisioner.yaml", "deploy/recommender.yaml", "deploy/scheduler.yaml"}
	for _, embedded := range []fs.FS{CRDs, RBAC, Guards} {
		err := fs.WalkDir(embedded, ".", func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && filepath.Ext(path) == ".yaml" {
				onDisk = append(onDisk, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(onDisk)
	slices.Sort(list.Resources)
	if diff := cmp.Diff(onDisk, list.Resources); diff != "" {
		t.Errorf("files on disk (-) and resources of kustomization.yaml (+) differ:\n%s", diff)
	}
}

func TestNamesWithinTheInstallationResolve(t *testing.T) {
	objects := installation(t)
	accounts := pick[*corev1.ServiceAccount](objects)
	clusterRoles := pick[*rbacv1.ClusterRole](objects)
	roles := pick[*rbacv1.Role](objects)
	configMaps := pick[*corev1.ConfigMap](objects)

	wantSubject := func(subjects []rbacv1.Subject) {
		t.Helper()
		for _, s := range subjects {
			if accounts[s.Namespace+"/"+s.Name] == nil {
				t.Errorf("subject %s/%s is no ServiceAccount of the installation", s.Namespace, s.Name)
			}
		}
	}
	for name, binding := range pick[*rbacv1.ClusterRoleBinding](objects) {
		wantSubject(binding.Subjects)
		if clusterRoles[binding.RoleRef.Name] == nil {
			t.Errorf("ClusterRoleBinding %s names ClusterRole %q, which is not there", name, binding.RoleRef.Name)
		}
	}
	bound := map[string]bool{}
	for name, binding := range pick[*rbacv1.RoleBinding](objects) {
		wantSubject(binding.Subjects)
		role := binding.Namespace + "/" + binding.RoleRef.Name
		bound[role] = true
		if roles[role] == nil {
			t.Errorf("RoleBinding %s names Role %q, which is not there", name, role)
		}
	}
	for role := range roles {
		if !bound[role] {
			t.Errorf("Role %s is bound to nobody", role)
		}
	}
	for name, deployment := range pick[*appsv1.Deployment](objects) {
		pod := deployment.Spec.Template
		if accounts[namespace+"/"+pod.Spec.ServiceAccountName] == nil {
			t.Errorf("Deployment %s runs as %q, which is not there", name, pod.Spec.ServiceAccountName)
		}
		for _, volume := range pod.Spec.Volumes {
			if volume.ConfigMap != nil && configMaps[namespace+"/"+volume.ConfigMap.Name] == nil {
				t.Errorf("Deployment %s mounts ConfigMap %q, which is not there", name, volume.ConfigMap.Name)
			}
		}
	}
	for name, service := range pick[*corev1.Service](objects) {
		if !selectsPods(objects, labels.SelectorFromSet(service.Spec.Selector), service.Spec.Ports) {
			t.Errorf("Service %s selects no pod with its ports", name)
		}
	}
	for name, budget := range pick[*policyv1.PodDisruptionBudget](objects) {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err != nil || !selectsPods(objects, selector, nil) {
			t.Errorf("PodDisruptionBudget %s selects no pod (%v)", name, err)
		}
	}
}

func selectsPods(objects []runtime.Object, selector labels.Selector, ports []corev1.ServicePort) bool {
	for _, deployment := range pick[*appsv1.Deployment](objects) {
		pod := deployment.Spec.Template
		if !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		return !slices.ContainsFunc(ports, func(p corev1.ServicePort) bool {
			return !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == p.TargetPort.StrVal })
		})
	}
	return false
}

func TestEachComponentRunsAsTheHouseWantsIt(t *testing.T) {
	objects := installation(t)
	deployments := pick[*appsv1.Deployment](objects)
	budgets := pick[*policyv1.PodDisruptionBudget](objects)
	for _, component := range components() {
		t.Run(component, func(t *testing.T) {
			name := "supercargo-" + component
			deployment := deployments[namespace+"/"+name]
			if deployment == nil {
				t.Fatal("no Deployment")
			}
			if budgets[namespace+"/"+name] == nil {
				t.Error("no PodDisruptionBudget")
			}
			if got := *deployment.Spec.Replicas; got < 2 {
				t.Errorf("%d replicas: nobody takes over", got)
			}
			pod := deployment.Spec.Template.Spec
			if pod.ServiceAccountName != name {
				t.Errorf("runs as %q", pod.ServiceAccountName)
			}
			container := pod.Containers[0]
			if container.LivenessProbe == nil || container.ReadinessProbe == nil {
				t.Error("a probe is missing")
			}
			if !*pod.SecurityContext.RunAsNonRoot || !*container.SecurityContext.ReadOnlyRootFilesystem || *container.SecurityContext.AllowPrivilegeEscalation {
				t.Error("the container may do more than it needs")
			}
			if container.Resources.Requests.Cpu().IsZero() || container.Resources.Limits.Memory().IsZero() {
				t.Error("cpu request or memory limit is missing")
			}
			if !strings.HasPrefix(container.Image, "supercargo.dev/"+name+":v") {
				t.Errorf("image %q has no version", container.Image)
			}
		})
	}
}

func TestTheProvisionerNeverRunsOnANodeItManages(t *testing.T) {
	pod := pick[*appsv1.Deployment](installation(t))[namespace+"/supercargo-provisioner"].Spec.Template.Spec
	want := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "karpenter.sh/nodepool", Operator: corev1.NodeSelectorOpDoesNotExist}}}}
	if diff := cmp.Diff(want, pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms); diff != "" {
		t.Errorf("required node affinity (-want +got):\n%s", diff)
	}
}

func TestComponentsHoldNoPermissionBeyondTheirWork(t *testing.T) {
	objects := installation(t)
	rules := map[string][]rbacv1.PolicyRule{}
	for _, role := range pick[*rbacv1.ClusterRole](objects) {
		rules[role.Name] = append(rules[role.Name], role.Rules...)
	}
	for _, role := range pick[*rbacv1.Role](objects) {
		rules[role.Name] = append(rules[role.Name], role.Rules...)
	}
	for _, component := range components() {
		t.Run(component, func(t *testing.T) {
			for _, rule := range rules["supercargo-"+component] {
				if slices.Contains(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), "*") {
					t.Errorf("wildcard in %v", rule)
				}
				onlyCreate := slices.Equal(rule.Verbs, []string{"create"})
				for _, named := range []string{"secrets", "leases", "mutatingwebhookconfigurations"} {
					// Node leases are read and collected for machines that are gone.
					nodeLease := component == "provisioner" && slices.Contains(rule.Verbs, "delete")
					if slices.Contains(rule.Resources, named) && len(rule.ResourceNames) == 0 && !onlyCreate && !nodeLease {
						t.Errorf("%s without a name: %v", named, rule)
					}
				}
				if component != "recommender" && slices.Contains(rule.Resources, "secrets") {
					t.Errorf("access to secrets: %v", rule)
				}
			}
		})
	}
	for name, role := range pick[*rbacv1.ClusterRole](objects) {
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "secrets") {
				t.Errorf("ClusterRole %s reads secrets of every namespace", name)
			}
		}
	}
}

func TestTheSchedulerConfigurationIsReadStrictly(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := schedulerconfigv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	object, _, err := decoder.Decode(SchedulerConfig, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, ok := object.(*schedulerconfigv1.KubeSchedulerConfiguration)
	if !ok {
		t.Fatalf("decoded a %T", object)
	}
	if got := config.LeaderElection.ResourceName; got != "supercargo-scheduler" {
		t.Errorf("lease %q is not the one that the role names", got)
	}
	var enabled []string
	for _, plugin := range config.Profiles[0].Plugins.MultiPoint.Enabled {
		enabled = append(enabled, plugin.Name)
	}
	if diff := cmp.Diff([]string{"RightsizedPacking", "SpotPreference", "PlannedNode"}, enabled); diff != "" {
		t.Errorf("plugins (-want +got):\n%s", diff)
	}
}
