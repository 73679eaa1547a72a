//go:build unix

// Command workload is what runs in the containers of a real node: it burns as much CPU and holds as much memory as it is told, by
// flags at the start and over HTTP later.
//
//	GET  /use                                what it uses now, as JSON
//	POST /use?milliCPU=250&memoryMiB=64      from now on; what is not named stays
//
// With --pause it does nothing, as the container that holds a pod's namespaces. It ends on SIGTERM, and by itself after an hour,
// so that a container whose node died without stopping it does not burn for ever.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// longest is how long a workload runs: far longer than any test.
const longest = time.Hour

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "workload: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	// As process 1 of a container it would not end on a signal that it does not handle.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	ctx, done := context.WithTimeout(ctx, longest)
	defer done()
	pause := flag.Bool("pause", false, "do nothing")
	address := flag.String("address", ":8080", "address of the HTTP server")
	var u use
	flag.Int64Var(&u.MilliCPU, "milli-cpu", 0, "CPU to burn, in thousandths of a core")
	flag.Int64Var(&u.MemoryMiB, "memory-mib", 0, "memory to hold, in MiB")
	flag.Parse()
	if *pause {
		<-ctx.Done()
		return nil
	}
	b := newBurner(ctx)
	if err := b.set(u); err != nil {
		return err
	}
	server := &http.Server{Addr: *address, Handler: handler(b), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // nobody is left to tell
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving, %w", err)
	}
	return nil
}

func handler(b *burner) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /use", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b.get()) // the client is gone
	})
	mux.HandleFunc("POST /use", func(w http.ResponseWriter, r *http.Request) {
		u := b.get()
		for name, field := range map[string]*int64{"milliCPU": &u.MilliCPU, "memoryMiB": &u.MemoryMiB} {
			text := r.FormValue(name)
			if text == "" {
				continue
			}
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				http.Error(w, fmt.Sprintf("the parameter %s is %q, want a whole number", name, text), http.StatusBadRequest)
				return
			}
			*field = n
		}
		if err := b.set(u); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
