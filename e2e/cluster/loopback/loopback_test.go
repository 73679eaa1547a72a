package loopback_test

import (
	"net"
	"testing"

	"supercargo.dev/e2e/cluster/loopback"
)

func TestListenersGetDifferentPortsThatNoOutgoingConnectionTakes(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		l, err := loopback.Listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() }) // the test is over
		port, err := loopback.Port(l)
		if err != nil {
			t.Fatal(err)
		}
		if port < 20000 || port >= 32768 || seen[port] {
			t.Errorf("port %d, seen before: %t", port, seen[port])
		}
		seen[port] = true
	}
}

func TestATakenPortIsRefused(t *testing.T) {
	l, err := loopback.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	port, err := loopback.Port(l)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := loopback.ListenOn(t.Context(), port); err == nil {
		t.Error("listening twice on one port")
		_ = second.Close()
	}
}

func TestAFreeAddressCanBeListenedOn(t *testing.T) {
	address, err := loopback.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // the test is over
}
