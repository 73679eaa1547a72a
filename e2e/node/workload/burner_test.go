//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsToBeUsedIsToldOverHTTP(t *testing.T) {
	for _, tc := range []struct {
		name, query string
		wantStatus  int
		want        use
	}{
		{name: "memory alone", query: "memoryMiB=3", wantStatus: http.StatusNoContent, want: use{MilliCPU: 1, MemoryMiB: 3}},
		{name: "both", query: "memoryMiB=1&milliCPU=2", wantStatus: http.StatusNoContent, want: use{MilliCPU: 2, MemoryMiB: 1}},
		{name: "no number", query: "memoryMiB=much", wantStatus: http.StatusBadRequest, want: use{MilliCPU: 1, MemoryMiB: 2}},
		{name: "less than nothing", query: "milliCPU=-1", wantStatus: http.StatusBadRequest, want: use{MilliCPU: 1, MemoryMiB: 2}},
		{name: "more than any machine has", query: "memoryMiB=9999999", wantStatus: http.StatusBadRequest, want: use{MilliCPU: 1, MemoryMiB: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBurner(t.Context())
			if err := b.set(use{MilliCPU: 1, MemoryMiB: 2}); err != nil {
				t.Fatal(err)
			}
			answer := httptest.NewRecorder()
			handler(b).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/use?"+tc.query, http.NoBody))
			if answer.Code != tc.wantStatus {
				t.Errorf("status %d: %s", answer.Code, answer.Body)
			}
			if diff := cmp.Diff(tc.want, b.get()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if held := int64(len(b.held)); held != tc.want.MemoryMiB {
				t.Errorf("%d MiB are held", held)
			}
		})
	}
}
