package sandbox

import "context"

// TB is the part of testing.TB that ForTest uses: the sandbox binary, which links this package, need not link package testing.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// failedTailLines is how much of each log a failed test prints.
const failedTailLines = 60

// ForTest starts a sandbox that ends with the test. When the test has failed it prints the end of each log first.
func ForTest(t TB, o Options) *Sandbox {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatalf("starting the sandbox of %s: %v", t.Name(), err)
		return nil
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, path := range s.logs() {
				t.Logf("end of %s:\n%s", path, Tail(path, failedTailLines))
			}
		}
		if err := s.Stop(); err != nil {
			t.Errorf("stopping the sandbox of %s: %v", t.Name(), err)
		}
	})
	return s
}
