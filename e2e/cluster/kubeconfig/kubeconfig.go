// Package kubeconfig writes kubeconfig files for the clients of a cluster: a copy of a configuration at hand, or one that
// authenticates as a ServiceAccount.
package kubeconfig

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLifetime is what ForServiceAccount asks for; the API server may grant less.
const tokenLifetime = 24 * time.Hour

// context is the one name under which cluster, user and context are written.
const contextName = "supercargo-sandbox"

// Write writes a kubeconfig with the server, trust and credentials of cfg to path, readable by the owner only.
func Write(cfg *rest.Config, path string) error {
	out := clientcmdapi.NewConfig()
	out.CurrentContext = contextName
	out.Contexts[contextName] = &clientcmdapi.Context{Cluster: contextName, AuthInfo: contextName}
	out.Clusters[contextName] = &clientcmdapi.Cluster{
		Server:                   cfg.Host,
		TLSServerName:            cfg.ServerName,
		InsecureSkipTLSVerify:    cfg.Insecure,
		CertificateAuthority:     cfg.CAFile,
		CertificateAuthorityData: cfg.CAData,
	}
	out.AuthInfos[contextName] = &clientcmdapi.AuthInfo{
		Token:                 cfg.BearerToken,
		TokenFile:             cfg.BearerTokenFile,
		ClientCertificate:     cfg.CertFile,
		ClientCertificateData: cfg.CertData,
		ClientKey:             cfg.KeyFile,
		ClientKeyData:         cfg.KeyData,
	}
	if err := clientcmd.WriteToFile(*out, path); err != nil {
		return fmt.Errorf("writing kubeconfig %s, %w", path, err)
	}
	return nil
}

// ForServiceAccount requests a token for the ServiceAccount, which must exist, and writes a kubeconfig that carries it to
// path. cfg must be allowed to create serviceaccounts/token. The token lasts a day.
func ForServiceAccount(ctx context.Context, cfg *rest.Config, namespace, name, path string) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("creating client, %w", err)
	}
	seconds := int64(tokenLifetime / time.Second)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("requesting a token for service account %s/%s, %w", namespace, name, err)
	}
	as := rest.AnonymousClientConfig(cfg)
	as.BearerToken = token.Status.Token
	return Write(as, path)
}
