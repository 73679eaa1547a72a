package report

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is where something was measured. It holds nothing that names a host or a user.
type Machine struct {
	// CPU is the processor's model as the system spells it, or its architecture where the system does not say.
	CPU string `json:"cpu"`
	// Cores that the process may use.
	Cores int `json:"cores"`
	// MemoryBytes that the machine has; 0 when unknown.
	MemoryBytes int64 `json:"memoryBytes"`
	// Go is the version that built the program.
	Go string `json:"go"`
	// Date of the run, as 2006-01-02.
	Date string `json:"date"`
}

// ThisMachine describes the machine that the program runs on. What the system does not tell is left at its zero value: a
// benchmark is not to fail for it.
func ThisMachine(now time.Time) Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), Date: now.UTC().Format(time.DateOnly)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if model := value(text, "model name"); model != "" {
			m.CPU = model
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if kb, err := strconv.ParseInt(strings.TrimSuffix(value(text, "MemTotal"), " kB"), 10, 64); err == nil {
			m.MemoryBytes = kb * 1024
		}
	}
	return m
}

// value is what follows the first line's "key :" in a file of /proc, and empty when there is none.
func value(text []byte, key string) string {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, v, ok := strings.Cut(lines.Text(), ":")
		if ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// String is one line, such as "AMD EPYC, 2 cores, 23.5 GiB, go1.26.8, 2026-11-21".
func (m Machine) String() string {
	memory := "memory unknown"
	if m.MemoryBytes > 0 {
		memory = Bytes(m.MemoryBytes)
	}
	return fmt.Sprintf("%s, %d cores, %s, %s, %s", m.CPU, m.Cores, memory, m.Go, m.Date)
}
