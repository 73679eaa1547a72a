package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"
)

// Users of the static token file. The last two have the names that the API server's bootstrap RBAC policy binds to their roles,
// so that those components run with the rights they have in any cluster.
const (
	adminUser             = "kubernetes-admin"
	controllerManagerUser = user.KubeControllerManager
	schedulerUser         = user.KubeScheduler
)

// tokens maps a user to its bearer token.
type tokens map[string]string

func newTokens() (tokens, error) {
	t := tokens{}
	for _, name := range []string{adminUser, controllerManagerUser, schedulerUser} {
		secret := make([]byte, 16)
		if _, err := rand.Read(secret); err != nil {
			return nil, fmt.Errorf("drawing the token of %s, %w", name, err)
		}
		t[name] = hex.EncodeToString(secret)
	}
	return t, nil
}

// write writes the file that --token-auth-file reads: token, user, uid, groups.
func (t tokens) write(path string) error {
	var lines strings.Builder
	for name, token := range t {
		groups := ""
		if name == adminUser {
			groups = user.SystemPrivilegedGroup
		}
		fmt.Fprintf(&lines, "%s,%s,%s,%q\n", token, name, name, groups)
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("writing the token file, %w", err)
	}
	return nil
}
