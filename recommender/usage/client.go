package usage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"time"
)

// ClientOptions say how a server of metrics is reached. Files are read anew with each request, because tokens are
// rotated.
type ClientOptions struct {
	// BearerTokenFile holds a token.
	BearerTokenFile string
	// Username and PasswordFile are for basic authentication.
	Username, PasswordFile string
	// CAFile holds certificates in PEM that the server's is checked against, instead of the system's.
	CAFile string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
	// Headers are "Name: value", for example "X-Scope-OrgID: team-a".
	Headers []string
	// Timeout of one request. Default 5m.
	Timeout time.Duration
}

// NewClient returns a client that authenticates itself as the options say. The error names the option that is wrong.
func NewClient(o ClientOptions) (*http.Client, error) {
	a := &authenticated{o: o, headers: http.Header{}}
	if o.BearerTokenFile != "" && o.Username != "" {
		return nil, errors.New("a bearer token and a user name exclude each other")
	}
	if (o.Username == "") != (o.PasswordFile == "") {
		return nil, errors.New("a user name needs a password file, and a password file a user name")
	}
	for _, h := range o.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(value, "\r\n") {
			return nil, fmt.Errorf("header %q is not of the form Name: value", h)
		}
		a.headers.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	if _, err := a.credentials(); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.InsecureSkipVerify} //nolint:gosec // where the operator says so
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of the server's authority, %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
	}
	a.next = &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConns: 4,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Minute
	}
	return &http.Client{Timeout: timeout, Transport: a, CheckRedirect: sameHost}, nil
}

// sameHost keeps credentials from following a redirect elsewhere: they are added below, where the client would not drop
// them.
func sameHost(request *http.Request, via []*http.Request) error {
	if request.URL.Host != via[0].URL.Host || request.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("redirected to %s://%s; name that server instead", request.URL.Scheme, request.URL.Host)
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

type authenticated struct {
	o       ClientOptions
	headers http.Header
	next    http.RoundTripper
}

// credentials are the token or the password.
func (a *authenticated) credentials() (string, error) {
	file := a.o.BearerTokenFile
	if file == "" {
		file = a.o.PasswordFile
	}
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading credentials, %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("reading credentials, %s is empty", file)
	}
	return secret, nil
}

// RoundTrip implements http.RoundTripper.
func (a *authenticated) RoundTrip(request *http.Request) (*http.Response, error) {
	secret, err := a.credentials()
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close() // the request was not sent
		}
		return nil, err
	}
	request = request.Clone(request.Context())
	for name, values := range a.headers {
		request.Header[name] = values
	}
	switch {
	case a.o.Username != "":
		request.SetBasicAuth(a.o.Username, secret)
	case secret != "":
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	return a.next.RoundTrip(request)
}
