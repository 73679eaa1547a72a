package kubelet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/component-base/metrics"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/kubernetes/pkg/kubelet/metrics/collectors"
)

// loopback is where endpoints listen, whatever address their machines report.
const loopback = "127.0.0.1"

// endpoint is one machine's HTTPS server, as a kubelet's on port 10250. It asks for no credentials: what it tells is simulated.
type endpoint struct {
	listener net.Listener
	server   *http.Server
}

// listen opens the machine's endpoint on a free port. The caller must serve and close it.
func (m *machine) listen(ctx context.Context, config *tls.Config, now func() time.Time) (*endpoint, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", loopback+":0")
	if err != nil {
		return nil, fmt.Errorf("opening the endpoint of node %s, %w", m.spec.Name, err)
	}
	return &endpoint{
		listener: tls.NewListener(listener, config),
		server: &http.Server{
			Handler: m.handler(now), ReadHeaderTimeout: 10 * time.Second,
			ErrorLog: log.New(io.Discard, "", 0), // clients that hang up are no news
		},
	}, nil
}

func (e *endpoint) port() (int32, error) {
	address, ok := e.listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("endpoint listens on %s, which has no port", e.listener.Addr())
	}
	return int32(address.Port), nil
}

func (m *machine) handler(now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok") // the client is gone otherwise
	})
	mux.HandleFunc("GET /stats/summary", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(m.summary(now())) // the client is gone otherwise
	})
	mux.HandleFunc("GET /metrics/resource", func(w http.ResponseWriter, r *http.Request) {
		// A registry per request, so that machines keep none: a collector is registered once in its life.
		registry := metrics.NewKubeRegistry()
		registry.CustomMustRegister(collectors.NewResourceMetricsCollector(summaryOnce{m.summary(now())}))
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
	})
	return mux
}

// summaryOnce gives the kubelet's own collector of resource metrics a summary to render.
type summaryOnce struct{ summary *statsapi.Summary }

// Get implements SummaryProvider of k8s.io/kubernetes/pkg/kubelet/server/stats.
func (s summaryOnce) Get(context.Context, bool) (*statsapi.Summary, error) { return s.summary, nil }

// GetCPUAndMemoryStats implements SummaryProvider of k8s.io/kubernetes/pkg/kubelet/server/stats.
func (s summaryOnce) GetCPUAndMemoryStats(context.Context) (*statsapi.Summary, error) {
	return s.summary, nil
}

// selfSigned makes the certificate all endpoints share, as kubelets make one when none is given to them.
func selfSigned(now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the endpoints' key, %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "supercargo-sandbox-kubelet"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(loopback)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the endpoints' certificate, %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	}, nil
}
