// Package loopback finds ports on 127.0.0.1 for servers that come back on the same port after a restart.
//
// Such a port must not be one that the kernel gives to outgoing connections (32768 and up, by default on Linux): while the
// server is away, any connection on the machine could take it, and a client that keeps trying to reach it can even
// connect to itself.
package loopback

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"
)

// The ports tried: below Linux' default net.ipv4.ip_local_port_range, above the well-known ones.
const (
	firstPort = 20000
	lastPort  = 32767
	attempts  = 100
)

// Listen listens on a free port.
func Listen(ctx context.Context) (net.Listener, error) {
	// Processes that start together must not try the same ports.
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid()))) //nolint:gosec // no secret, never negative
	var last error
	for range attempts {
		port := firstPort + random.IntN(lastPort-firstPort+1)
		listener, err := ListenOn(ctx, port)
		if err == nil {
			return listener, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
	return nil, fmt.Errorf("no free port in %d tries, %w", attempts, last)
}

// ListenOn listens on the given port.
func ListenOn(ctx context.Context, port int) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening on loopback, %w", err)
	}
	return listener, nil
}

// Port returns the port that the listener listens on.
func Port(listener net.Listener) (int, error) {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("%s is not a TCP address", listener.Addr())
	}
	return address.Port, nil
}

// FreeAddress returns an address, as host:port, on which nothing listened a moment ago, for a process that cannot be given a
// listener.
func FreeAddress(ctx context.Context) (string, error) {
	listener, err := Listen(ctx)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
