package sandbox

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// childVariable makes the test binary play a child process instead of running tests.
const childVariable = "SUPERCARGO_SANDBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Recommender {
		os.Exit(childComponent())
	}
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "server":
		os.Exit(childServer(os.Args[1]))
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour) // select {} would be a deadlock
	case "parent":
		os.Exit(childParent(os.Args[1], os.Args[2]))
	case "fail":
		fmt.Fprintln(os.Stderr, "no such ship")
		os.Exit(3)
	}
}

// childServer serves /readyz until SIGTERM.
func childServer(address string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Fprintln(os.Stderr, "serving", server.ListenAndServe())
	return 0
}

// childComponent plays a component: it is ready when it may list pods and may not list secrets, and prints its further flags.
func childComponent() int {
	flags := flag.NewFlagSet(Recommender, flag.ContinueOnError)
	config := flags.String("kubeconfig", "", "")
	health := flags.String("health-probe-bind-address", "", "")
	for _, unused := range []string{"metrics-bind-address", "webhook-bind-address", "webhook-url"} {
		flags.String(unused, "", "")
	}
	elect := flags.Bool("leader-elect", true, "")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	fmt.Println("leader election", *elect)
	cfg, err := clientcmd.BuildConfigFromFlags("", *config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	client := kubernetes.NewForConfigOrDie(cfg)
	if _, err := client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := client.CoreV1().Secrets("").List(context.Background(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		fmt.Fprintln(os.Stderr, "listing secrets:", err)
		return 1
	}
	return childServer(*health)
}

// childParent starts a child server, tells when it is ready, and waits to be killed.
func childParent(address, log string) int {
	p, err := StartProcess(childCommand("server", log, address))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := p.AwaitReady(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.PID())
	time.Sleep(time.Hour)
	return 0
}

func childCommand(role, log string, args ...string) Command {
	c := Command{Name: role, Path: "/proc/self/exe", Args: args, Env: []string{childVariable + "=" + role}, Log: log}
	if len(args) > 0 {
		c.Ready = "http://" + args[0] + "/readyz"
	}
	return c
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
