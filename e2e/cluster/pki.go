package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLifetime is longer than any control plane of this package lives.
const certificateLifetime = 365 * 24 * time.Hour

// pki is the set of key files that a control plane needs. All paths are below one directory.
type pki struct {
	caCert, caKey                    string // signs the serving certificate, client certificates and CSRs
	servingCert, servingKey          string // the API server's
	frontProxyCA                     string // signs frontProxyCert; aggregated API servers trust it
	frontProxyCert, frontProxyKey    string // the aggregation layer's client certificate
	serviceAccountKey                string // signs ServiceAccount tokens
	serviceAccountPub                string
	kubeletClientCert, kubeletClient string // the API server's identity towards kubelets
	caPEM                            []byte
}

// authority is a certificate authority held in memory while certificates are issued.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newPKI creates every key and certificate below dir.
func newPKI(dir string, apiServerAddresses []net.IP, apiServerNames []string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating key directory, %w", err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	p := &pki{
		caCert: at("ca.crt"), caKey: at("ca.key"),
		servingCert: at("apiserver.crt"), servingKey: at("apiserver.key"),
		frontProxyCA: at("front-proxy-ca.crt"), frontProxyCert: at("front-proxy-client.crt"), frontProxyKey: at("front-proxy-client.key"),
		serviceAccountKey: at("sa.key"), serviceAccountPub: at("sa.pub"),
		kubeletClientCert: at("apiserver-kubelet-client.crt"), kubeletClient: at("apiserver-kubelet-client.key"),
	}
	ca, err := newAuthority("kubernetes")
	if err != nil {
		return nil, err
	}
	if p.caPEM, err = ca.write(p.caCert, p.caKey); err != nil {
		return nil, err
	}
	proxyCA, err := newAuthority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	if _, err := proxyCA.write(p.frontProxyCA, at("front-proxy-ca.key")); err != nil {
		return nil, err
	}
	for _, c := range []struct {
		issuer    *authority
		template  x509.Certificate
		cert, key string
	}{
		{ca, x509.Certificate{
			Subject: pkix.Name{CommonName: "kube-apiserver"}, IPAddresses: apiServerAddresses, DNSNames: apiServerNames,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, p.servingCert, p.servingKey},
		{proxyCA, x509.Certificate{
			Subject:     pkix.Name{CommonName: frontProxyClient},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, p.frontProxyCert, p.frontProxyKey},
		{ca, x509.Certificate{
			Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"kubeadm:cluster-admins"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}, p.kubeletClientCert, p.kubeletClient},
	} {
		if err := c.issuer.issue(c.template, c.cert, c.key); err != nil {
			return nil, err
		}
	}
	return p, p.writeServiceAccountKey()
}

func (p *pki) writeServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating the service account key, %w", err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the service account key, %w", err)
	}
	if err := writePEM(p.serviceAccountPub, "PUBLIC KEY", pub); err != nil {
		return err
	}
	return writeKey(p.serviceAccountKey, key)
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of %s, %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		// An hour of grace for clocks that differ, as kubeadm gives.
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("creating certificate authority %s, %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading certificate authority %s back, %w", name, err)
	}
	return &authority{cert: cert, key: key}, nil
}

func (a *authority) write(certFile, keyFile string) ([]byte, error) {
	if err := writePEM(certFile, "CERTIFICATE", a.cert.Raw); err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), writeKey(keyFile, a.key)
}

func (a *authority) issue(template x509.Certificate, certFile, keyFile string) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return fmt.Errorf("drawing a serial number, %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	template.BasicConstraintsValid = true
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating the key of %s, %w", template.Subject.CommonName, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issuing the certificate of %s, %w", template.Subject.CommonName, err)
	}
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(keyFile, key)
}

func writeKey(file string, key crypto.Signer) error {
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("writing %s: a key of type %T is not supported", file, key)
	}
	der, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		return fmt.Errorf("encoding %s, %w", file, err)
	}
	return writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing key material, %w", err)
	}
	return nil
}
