package cluster

import (
	"io"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// logSink takes over the process's klog for as long as the control plane runs.
type logSink struct {
	out *lockedWriter
}

// captureLogs sends klog to w, or drops it when w is nil.
func captureLogs(w io.Writer, verbosity int) *logSink {
	if w == nil {
		w = io.Discard
	}
	s := &logSink{out: &lockedWriter{w: w}}
	klog.SetLoggerWithOptions(
		textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(s.out), textlogger.Verbosity(verbosity))),
		klog.ContextualLogger(true))
	return s
}

// zap returns the logger for etcd, which writes warnings and worse to the same place.
func (s *logSink) zap() *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.AddSync(s.out), zap.WarnLevel)).Named("etcd")
}

// release hands klog back. Goroutines of the control plane that end late then write to stderr, as klog does by default; what
// they write after their writer is gone must not reach it.
func (s *logSink) release() {
	s.out.close()
	klog.ClearLogger()
}

// lockedWriter makes a writer safe for concurrent use and can be detached from it.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (l *lockedWriter) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = io.Discard
}
