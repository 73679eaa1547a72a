package inprocess

import (
	"net/http"
	"time"
)

// controls serves what an experimenter does to the control plane. The cloud has its own: see package sim.
//
//	POST /outage?for=5s   stops the API server for that long; answers 204 when a new one is ready
func (s *Sandbox) controls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /outage", func(w http.ResponseWriter, r *http.Request) {
		downtime, err := time.ParseDuration(r.FormValue("for"))
		if err != nil || downtime < 0 {
			http.Error(w, "the parameter for must be a duration such as 5s", http.StatusBadRequest)
			return
		}
		// Not the request's context: a client that gives up must not leave the sandbox without an API server.
		if err := s.cluster.Outage(s.life, downtime); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
