package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// etcd is a single-member store on loopback ports that the kernel picks.
type etcd struct {
	server   *embed.Etcd
	endpoint string
}

func startEtcd(ctx context.Context, dir string, log *zap.Logger) (*etcd, error) {
	cfg := embed.NewConfig()
	cfg.Name = "default"
	cfg.Dir = filepath.Join(dir, "etcd")
	// Port 0: the listener's own address is asked for below, so that no other process can take the port in between. What
	// the member advertises is read by other members only, and there are none.
	anyPort := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{anyPort}, []url.URL{anyPort}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{anyPort}, []url.URL{anyPort}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// The state need not survive a crash of the machine.
	cfg.UnsafeNoFsync = true
	// The REST gateway would dial the advertised address.
	cfg.EnableGRPCGateway = false
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("starting etcd, %w", err)
	}
	e := &etcd{server: server, endpoint: "http://" + server.Clients[0].Addr().String()}
	select {
	case <-server.Server.ReadyNotify():
		return e, nil
	case err := <-server.Err():
		e.stop()
		return nil, fmt.Errorf("starting etcd, %w", err)
	case <-server.Server.StopNotify():
		e.stop()
		return nil, errors.New("starting etcd: it stopped")
	case <-ctx.Done():
		e.stop()
		return nil, fmt.Errorf("starting etcd, %w", ctx.Err())
	}
}

func (e *etcd) stop() { e.server.Close() }
