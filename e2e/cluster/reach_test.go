package cluster_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

func podSpec(cpu string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "web",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
	}}}
}

// createNode creates a ready node whose kubelet listens on port.
func createNode(t *testing.T, client kubernetes.Interface, name string, port int32) {
	t.Helper()
	if _, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{
		Capacity: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110"),
		},
		Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.1.2.3"}, {Type: corev1.NodeHostName, Address: name}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: port}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	// A patch: the node lifecycle controller writes as well.
	if _, err := client.CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func (e env) testCRD(t *testing.T) {
	ctx := t.Context()
	minimum := float64(1)
	crds := apiextensions.NewForConfigOrDie(e.Config()).ApiextensionsV1().CustomResourceDefinitions()
	if _, err := crds.Create(ctx, &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "ships.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.com", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "ships", Kind: "Ship"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object",
					Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": {
						Type:       "object",
						Properties: map[string]apiextensionsv1.JSONSchemaProps{"holds": {Type: "integer", Minimum: &minimum}},
					}},
				}},
			}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ships := dynamic.NewForConfigOrDie(e.Config()).Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "ships"}).Namespace("default")
	ship := func(name string, holds int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Ship",
			"metadata": map[string]any{"name": name}, "spec": map[string]any{"holds": holds},
		}}
	}
	eventually(t, "the resource is served", func(ctx context.Context) (bool, error) {
		_, err := ships.Create(ctx, ship("good", 2), metav1.CreateOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if _, err := ships.Create(ctx, ship("bad", 0), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("want Invalid, got %v", err)
	}
}

func (e env) testWebhook(t *testing.T) {
	ctx := t.Context()
	patchType := admissionv1.PatchTypeJSONPatch
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		review.Response = &admissionv1.AdmissionResponse{
			UID: review.Request.UID, Allowed: true, PatchType: &patchType,
			Patch: []byte(`[{"op":"add","path":"/data","value":{"touched":"yes"}}]`),
		}
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	url := server.URL + "/mutate"
	none := admissionregistrationv1.SideEffectClassNone
	configurations := e.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if _, err := configurations.Create(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "touch"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "touch.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &url, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"touch": "me"}},
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the webhook changes an object", func(ctx context.Context) (bool, error) {
		created, err := e.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "touch-", Labels: map[string]string{"touch": "me"}},
		}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return created.Data["touched"] == "yes", nil
	})
	if err := configurations.Delete(ctx, "touch", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func (e env) testKubeletProxy(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "path "+r.URL.Path) // the client tells
	}))
	defer server.Close()
	createNode(t, e.client, "talkative", port(t, server))
	got, err := e.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/talkative/proxy/metrics/resource").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "path /metrics/resource"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (e env) testAggregation(t *testing.T) {
	ctx := t.Context()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"user":%q}`, r.Header.Get("X-Remote-User")) // the client tells
	}))
	defer server.Close()
	p := port(t, server)
	if _, err := e.client.CoreV1().Services("default").Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "weather"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{Port: p}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	services := aggregator.NewForConfigOrDie(e.Config()).ApiregistrationV1().APIServices()
	if _, err := services.Create(ctx, &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1.weather.example.com"},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "weather.example.com", Version: "v1", GroupPriorityMinimum: 1000, VersionPriority: 10, InsecureSkipTLSVerify: true,
			Service: &apiregistrationv1.ServiceReference{Namespace: "default", Name: "weather", Port: &p},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API is served as the caller", func(ctx context.Context) (bool, error) {
		got, err := e.client.CoreV1().RESTClient().Get().AbsPath("/apis/weather.example.com/v1/now").DoRaw(ctx)
		return err == nil && string(got) == `{"user":"kubernetes-admin"}`, nil
	})
	// An API whose server is gone would keep namespaces from being deleted, as in any cluster.
	if err := services.Delete(ctx, "v1.weather.example.com", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

func port(t *testing.T, server *httptest.Server) int32 {
	t.Helper()
	_, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(p)
}
