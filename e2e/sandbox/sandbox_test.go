package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/cluster/kubeconfig"
	"supercargo.dev/e2e/sandbox"
)

func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, condition); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// TestSandbox has its cases in order on one sandbox.
func TestSandbox(t *testing.T) {
	dir := t.TempDir()
	fakeComponent(t)
	begin := time.Now()
	s := sandbox.ForTest(t, sandbox.Options{Dir: dir, Seed: 7, Args: []string{"--registration-delay=200ms", "--node-start-delay=100ms"}})
	t.Logf("sandbox ready after %s", time.Since(begin).Round(time.Millisecond))
	e := env{Sandbox: s, kube: kubernetes.NewForConfigOrDie(s.Config()), cloud: sim.NewClient(s.Cloud)}

	t.Run("it calls itself the Kubernetes that it is", func(t *testing.T) {
		v, err := e.kube.Discovery().ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if v.GitVersion != "v1.36.3" || v.Major != "1" || v.Minor != "36" {
			t.Errorf("version %s, major %s, minor %s", v.GitVersion, v.Major, v.Minor)
		}
	})
	t.Run("the components have their roles", e.testRoles)
	t.Run("a machine of the cloud becomes a node that runs pods and serves metrics", e.testMachine)
	t.Run("a machine that is gone stays as a node without heartbeats", e.testTermination)
	t.Run("an outage of the API server ends", e.testOutage)
	t.Run("a component runs as its service account and outlives a crash", e.testComponent)
	t.Run("a component that is not built is refused", func(t *testing.T) {
		if _, err := s.Component(t.Context(), "supercargo-nothing"); err == nil || !strings.Contains(err.Error(), "make build") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopping leaves logs and no process", func(t *testing.T) {
		pid := s.Process().PID()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d still runs", pid)
		}
		if err := s.Process().Wait(t.Context()); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
}

// fakeComponent makes a directory of binaries in which the recommender is this test binary: see TestMain.
func fakeComponent(t *testing.T) {
	t.Helper()
	bin, err := sandbox.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"supercargo-sandbox": filepath.Join(bin, "supercargo-sandbox"), sandbox.Recommender: self} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(sandbox.BinDirVariable, dir)
}

func (e env) testComponent(t *testing.T) {
	p, err := e.Component(t.Context(), sandbox.Recommender, "--leader-elect=false")
	if err != nil {
		t.Fatal(err)
	}
	replica, err := e.Component(t.Context(), sandbox.Recommender)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []*sandbox.Process{p, replica} {
		if err := each.AwaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := sandbox.Tail(p.Log(), 100); strings.Count(log, "leader election false") != 2 {
		t.Errorf("want the arguments of two runs in the log, got\n%s", log)
	}
	if p.Log() == replica.Log() || replica.Name() != "supercargo-recommender-2" {
		t.Errorf("the replica %s logs to %s", replica.Name(), replica.Log())
	}
}

type env struct {
	*sandbox.Sandbox
	kube  kubernetes.Interface
	cloud *sim.Client
}

func (e env) testRoles(t *testing.T) {
	for _, name := range sandbox.Components() {
		path := filepath.Join(t.TempDir(), name)
		if err := kubeconfig.ForServiceAccount(t.Context(), e.Config(), sandbox.Namespace, name, path); err != nil {
			t.Fatal(err)
		}
		cfg, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			t.Fatal(err)
		}
		as := kubernetes.NewForConfigOrDie(cfg)
		if _, err := as.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Errorf("%s: listing pods: %v", name, err)
		}
		if _, err := as.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s: listing secrets: want Forbidden, got %v", name, err)
		}
	}
	eventually(t, "the audit log has both decisions", func(context.Context) (bool, error) {
		log, err := os.ReadFile(e.AuditLog)
		return bytes.Contains(log, []byte(`"allow"`)) && bytes.Contains(log, []byte(`"forbid"`)), err
	})
}

func (e env) testMachine(t *testing.T) {
	ctx := t.Context()
	created, err := e.cloud.Create(ctx, &sim.CreateRequest{
		ClientToken:  "one",
		Alternatives: []sim.Alternative{{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: sim.OnDemand}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := created.Instance.ID
	eventually(t, "the node is ready", func(ctx context.Context) (bool, error) {
		node, err := e.kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if node.Spec.ProviderID != created.Instance.ProviderID || node.Labels[corev1.LabelInstanceTypeStable] != "m5.large" {
			t.Fatalf("provider id %q, labels %v", node.Spec.ProviderID, node.Labels)
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	if _, err := e.kube.CoreV1().Pods("default").Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cargo"},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "main", Image: "cargo"}},
			// Karpenter's lifecycle, which removes the taint of a new machine, does not run here.
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod runs", func(ctx context.Context) (bool, error) {
		pod, err := e.kube.CoreV1().Pods("default").Get(ctx, "cargo", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		return pod.Status.Phase == corev1.PodRunning && pod.Spec.NodeName == name, nil
	})
	eventually(t, "its usage is in the kubelet's metrics", func(ctx context.Context) (bool, error) {
		metrics, err := e.kube.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes", name, "proxy/metrics/resource").DoRaw(ctx)
		return bytes.Contains(metrics, []byte(`container_memory_working_set_bytes{container="main",namespace="default",pod="cargo"`)), err
	})
}

func (e env) testTermination(t *testing.T) {
	instances, err := e.cloud.List(t.Context())
	if err != nil || len(instances) != 1 {
		t.Fatalf("%d instances, %v", len(instances), err)
	}
	name := instances[0].ID
	if _, err := e.cloud.Terminate(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the kubelet no longer answers", func(ctx context.Context) (bool, error) {
		_, err := e.kube.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes", name, "proxy/metrics/resource").DoRaw(ctx)
		return err != nil, nil
	})
	if _, err := e.kube.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
		t.Errorf("the node object is gone: %v", err)
	}
}

func (e env) testOutage(t *testing.T) {
	begin := time.Now()
	if err := e.Outage(t.Context(), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	t.Logf("an outage of 300 ms took %s", time.Since(begin).Round(time.Millisecond))
	if _, err := e.kube.CoreV1().Pods("default").Get(t.Context(), "cargo", metav1.GetOptions{}); err != nil {
		t.Errorf("the pod is lost: %v", err)
	}
}
