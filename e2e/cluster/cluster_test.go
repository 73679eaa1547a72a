package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"supercargo.dev/e2e/cluster"
)

// TestControlPlane has its cases in order on one control plane: a process can have no second beside it.
func TestControlPlane(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	before := goroutines()
	log := &logBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the control plane:\n%s", log.tail(200))
		}
	})
	audit := filepath.Join(t.TempDir(), "audit.log")

	begin := time.Now()
	c, err := cluster.Start(t.Context(), cluster.Options{Log: log, AuditLog: audit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() }) // the case below checks the error
	t.Logf("control plane ready after %s", time.Since(begin).Round(time.Millisecond))
	e := env{Cluster: c, client: kubernetes.NewForConfigOrDie(c.Config()), audit: audit}

	t.Run("a second control plane in the process is refused", func(t *testing.T) {
		if second, err := cluster.Start(t.Context(), cluster.Options{}); err == nil {
			t.Error("started")
			_ = second.Stop()
		}
	})
	t.Run("the version is that of the linked Kubernetes", e.testVersion)
	t.Run("a deployment makes pods that stay pending without nodes", e.testDeployment)
	t.Run("a pod is bound to a node that has room", e.testScheduling)
	t.Run("a service account may do what its role says and nothing else", e.testRBAC)
	t.Run("a custom resource is served and validated", e.testCRD)
	t.Run("a mutating webhook at a loopback URL is called", e.testWebhook)
	t.Run("the API server proxies to a kubelet on loopback", e.testKubeletProxy)
	t.Run("an aggregated API behind an ExternalName service is served", e.testAggregation)
	t.Run("a deleted namespace takes its objects along", e.testNamespaceDeletion)
	t.Run("objects, controllers and scheduler survive an outage of the API server", e.testOutage)

	begin = time.Now()
	t.Run("stop leaves nothing behind", func(t *testing.T) {
		u, err := url.Parse(c.URL())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		t.Logf("stopped after %s", time.Since(begin).Round(time.Millisecond))
		if err := c.Stop(); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("a component failed: %v", err)
		}
		if conn, err := net.Dial("tcp", u.Host); err == nil {
			t.Errorf("%s is still open", u.Host)
			_ = conn.Close()
		}
		if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
			t.Errorf("files left: %v, %v", left, err)
		}
		checkGoroutines(t, before)
	})
}

// env is what the cases share.
type env struct {
	*cluster.Cluster
	client kubernetes.Interface
	audit  string
}

// eventually waits for what the control plane does by itself.
func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, condition); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

func (e env) testVersion(t *testing.T) {
	v, err := e.client.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v.Major != "1" || v.Minor != "36" {
		// Tests that are linked without the version see its placeholder.
		if v.GitVersion != "v0.0.0-master+$Format:%H$" {
			t.Errorf("version %s.%s (%s)", v.Major, v.Minor, v.GitVersion)
		}
	}
	t.Logf("version %s", v.GitVersion)
}

func (e env) testDeployment(t *testing.T) {
	labels := map[string]string{"app": "web"}
	replicas := int32(3)
	_, err := e.client.AppsV1().Deployments("default").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec("100m")},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "3 pods are unschedulable", func(ctx context.Context) (bool, error) {
		pods, err := e.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return false, err
		}
		unschedulable := 0
		for _, pod := range pods.Items {
			for _, c := range pod.Status.Conditions {
				if pod.Status.Phase == corev1.PodPending && c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
					unschedulable++
				}
			}
		}
		return unschedulable == 3, nil
	})
}

func (e env) testScheduling(t *testing.T) {
	createNode(t, e.client, "roomy", 0)
	eventually(t, "all pods are bound", func(ctx context.Context) (bool, error) {
		pods, err := e.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web", FieldSelector: "spec.nodeName=roomy"})
		if err != nil {
			return false, err
		}
		return len(pods.Items) == 3, nil
	})
}

func (e env) testRBAC(t *testing.T) {
	ctx := t.Context()
	if _, err := e.client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "reader", Namespace: "default"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "reader.kubeconfig")
	if err := e.ServiceAccountKubeconfig(ctx, "default", "reader", path); err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	reader := kubernetes.NewForConfigOrDie(cfg)
	eventually(t, "the authorizer knows the new role", func(ctx context.Context) (bool, error) {
		_, err := reader.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil, err
	})
	for what, err := range map[string]error{
		"deleting pods":                     reader.CoreV1().Pods("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		"listing pods of another namespace": second(reader.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})),
		"listing nodes":                     second(reader.CoreV1().Nodes().List(ctx, metav1.ListOptions{})),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: want Forbidden, got %v", what, err)
		}
	}
	if err := e.ServiceAccountKubeconfig(ctx, "default", "nobody", path); !apierrors.IsNotFound(err) {
		t.Errorf("kubeconfig for a service account that does not exist: want NotFound, got %v", err)
	}
	eventually(t, "the audit log shows what was refused", func(context.Context) (bool, error) {
		content, err := os.ReadFile(e.audit)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return bytes.Contains(content, []byte(`"authorization.k8s.io/decision":"forbid"`)), err
	})
}

func second[T any](_ T, err error) error { return err }

func (e env) testNamespaceDeletion(t *testing.T) {
	ctx := t.Context()
	if _, err := e.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "short"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.client.CoreV1().ConfigMaps("short").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "content"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := e.client.CoreV1().Namespaces().Delete(ctx, "short", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := e.client.CoreV1().Namespaces().Get(ctx, "short", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

func (e env) testOutage(t *testing.T) {
	ctx := t.Context()
	begin := time.Now()
	if err := e.Outage(ctx, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	t.Logf("an outage of 500 ms took %s", time.Since(begin).Round(time.Millisecond))
	if _, err := e.client.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{}); err != nil {
		t.Fatalf("the deployment is lost: %v", err)
	}
	scale, err := e.client.AppsV1().Deployments("default").GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scale.Spec.Replicas = 5
	if _, err := e.client.AppsV1().Deployments("default").UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "5 pods are bound", func(ctx context.Context) (bool, error) {
		pods, err := e.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web", FieldSelector: "spec.nodeName!="})
		if err != nil {
			return false, err
		}
		return len(pods.Items) == 5, nil
	})
}

// logBuffer keeps a log for when the test fails.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) tail(lines int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := bytes.Split(l.b.Bytes(), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}

// BenchmarkStart measures from Start until pods can be created and scheduled.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := cluster.Start(b.Context(), cluster.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Stop(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
