package admission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// caLife is how long our authority signs. It is renewed a year before its end.
	caLife = 5 * 365 * 24 * time.Hour
	// leafLife is how long the server's certificate holds. It is renewed when a third is left.
	leafLife = 90 * 24 * time.Hour
	// skew allows for clocks that go slow.
	skew = 5 * time.Minute
)

// bundle is what the Secret holds, in PEM.
type bundle struct {
	// authorities that a client trusts: the present one first, then the one before it while its certificates may be in use.
	authorities []byte
	caKey       []byte
	cert, key   []byte
}

// parsed is a bundle, read.
type parsed struct {
	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	leaf  *x509.Certificate
	tls   tls.Certificate
}

func (b bundle) parse() (parsed, error) {
	var p parsed
	block, _ := pem.Decode(b.authorities)
	if block == nil {
		return p, errors.New("reading the webhook's authority: no PEM block")
	}
	var err error
	if p.ca, err = x509.ParseCertificate(block.Bytes); err != nil {
		return p, fmt.Errorf("reading the webhook's authority, %w", err)
	}
	if block, _ = pem.Decode(b.caKey); block == nil {
		return p, errors.New("reading the key of the webhook's authority: no PEM block")
	}
	if p.caKey, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		return p, fmt.Errorf("reading the key of the webhook's authority, %w", err)
	}
	if p.tls, err = tls.X509KeyPair(b.cert, b.key); err != nil {
		return p, fmt.Errorf("reading the webhook's certificate, %w", err)
	}
	if p.leaf, err = x509.ParseCertificate(p.tls.Certificate[0]); err != nil {
		return p, fmt.Errorf("reading the webhook's certificate, %w", err)
	}
	return p, nil
}

// renew returns a bundle that holds for a good while for the hosts, and whether that is another than b.
func (b bundle) renew(hosts []string, now time.Time) (bundle, bool, error) {
	p, err := b.parse()
	if err != nil { // none yet, or rubbish
		fresh, err := newAuthority(nil, now)
		if err != nil {
			return bundle{}, false, err
		}
		fresh, err = fresh.sign(hosts, now)
		return fresh, true, err
	}
	if now.After(p.ca.NotAfter.Add(-caLife/5)) || now.Before(p.ca.NotBefore) {
		next, err := newAuthority(firstBlock(b.authorities), now)
		if err != nil {
			return bundle{}, false, err
		}
		next, err = next.sign(hosts, now)
		return next, true, err
	}
	if now.After(p.leaf.NotAfter.Add(-leafLife/3)) || now.Before(p.leaf.NotBefore) || !covers(p.leaf, hosts) || p.leaf.CheckSignatureFrom(p.ca) != nil {
		next, err := b.sign(hosts, now)
		return next, true, err
	}
	return b, false, nil
}

func covers(leaf *x509.Certificate, hosts []string) bool {
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func firstBlock(b []byte) []byte {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil
	}
	return pem.EncodeToMemory(block)
}

// newAuthority makes an authority; former stays trusted beside it.
func newAuthority(former []byte, now time.Time) (bundle, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return bundle{}, fmt.Errorf("making the webhook's authority, %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "supercargo-recommender-webhook-ca"}, NotBefore: now.Add(-skew), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if template.SerialNumber, err = serial(); err != nil {
		return bundle{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return bundle{}, fmt.Errorf("making the webhook's authority, %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return bundle{}, err
	}
	authorities := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return bundle{authorities: bytes.Join([][]byte{authorities, former}, nil), caKey: keyPEM}, nil
}

// sign makes a certificate for the hosts.
func (b bundle) sign(hosts []string, now time.Time) (bundle, error) {
	caBlock, _ := pem.Decode(b.authorities)
	keyBlock, _ := pem.Decode(b.caKey)
	if caBlock == nil || keyBlock == nil {
		return bundle{}, errors.New("signing the webhook's certificate: no authority")
	}
	ca, err := x509.ParseCertificate(caBlock.Bytes)
	if err != nil {
		return bundle{}, fmt.Errorf("signing the webhook's certificate, %w", err)
	}
	caKey, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return bundle{}, fmt.Errorf("signing the webhook's certificate, %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return bundle{}, fmt.Errorf("making the webhook's key, %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "supercargo-recommender-webhook"}, NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	if template.SerialNumber, err = serial(); err != nil {
		return bundle{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return bundle{}, fmt.Errorf("signing the webhook's certificate, %w", err)
	}
	b.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b.key, err = encodeKey(key)
	return b, err
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("writing a key, %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func serial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number, %w", err)
	}
	return n, nil
}
