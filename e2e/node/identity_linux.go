package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"supercargo.dev/e2e/cluster/kubeconfig"
)

// identityPoll is between two looks at a certificate that is being signed.
const identityPoll = 50 * time.Millisecond

// apiServerUser is who the API server of package cluster is to kubelets.
const apiServerUser = "kube-apiserver-kubelet-client"

// join gives the node its identity in the cluster, by the way that any node gets it: a certificate request, approved, and signed by
// the cluster. The kubelet thus has a node's rights and no others. It also lets the API server ask kubelets, as kubeadm does.
func join(ctx context.Context, client kubernetes.Interface, cfg *rest.Config, name, path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating the node's key, %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + name, Organization: []string{user.NodesGroup}},
	}, key)
	if err != nil {
		return fmt.Errorf("writing the node's certificate request, %w", err)
	}
	certificate, err := sign(ctx, client, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	if err != nil {
		return fmt.Errorf("getting the node's certificate, %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("writing the node's key, %w", err)
	}
	as := rest.AnonymousClientConfig(cfg)
	as.CertData, as.KeyData = certificate, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := kubeconfig.Write(as, path); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: apiServerUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:kubelet-api-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: apiServerUser}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("letting the API server ask kubelets, %w", err)
	}
	return nil
}

// sign has a certificate request approved and signed.
func sign(ctx context.Context, client kubernetes.Interface, name string, request []byte) ([]byte, error) {
	requests := client.CertificatesV1().CertificateSigningRequests()
	made, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "NodeOfThisTest",
	}}
	if _, err := requests.UpdateApproval(ctx, made.Name, made, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	err = wait.PollUntilContextCancel(ctx, identityPoll, true, func(ctx context.Context) (bool, error) {
		if made, err = requests.Get(ctx, made.Name, metav1.GetOptions{}); err != nil {
			return false, err
		}
		for _, c := range made.Status.Conditions {
			if c.Type == certificatesv1.CertificateFailed || c.Type == certificatesv1.CertificateDenied {
				return false, errors.New(c.Message)
			}
		}
		return len(made.Status.Certificate) > 0, nil
	})
	return made.Status.Certificate, err
}
