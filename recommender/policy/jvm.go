package policy

import (
	"math"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// JVM is what a container's command line and environment say about the memory of its Java virtual machine. Sizes are in bytes, 0
// where they are not stated.
type JVM struct {
	// MaxHeap is -Xmx or -XX:MaxHeapSize.
	MaxHeap int64
	// MaxRAMPercentage of the memory limit is the heap where MaxHeap is not stated, 0 to 100; the JVM's default is 25.
	MaxRAMPercentage float64
	// Metaspace, CodeCache and Direct are the stated bounds of memory outside of the heap.
	Metaspace, CodeCache, Direct int64
}

const (
	// defaultRAMPercentage is the JVM's (MaxRAMPercentage in gc_globals.hpp of OpenJDK 11 to 25).
	defaultRAMPercentage = 25
	// overheadShare and overheadLeast are what a JVM is taken to need outside of its heap: Apache Spark's memoryOverheadFactor 0.10 and
	// minMemoryOverhead 384 MiB (its configuration guide), which many clusters run Java with.
	overheadShare = 0.10
	overheadLeast = 384 << 20
	// threadsAndSymbols is what is outside of heap, metaspace and code cache where those two are bounded: 64 threads of 1 MiB.
	threadsAndSymbols = 64 << 20
)

// jvmEnvironment lists the variables that hold JVM options, in the order in which later ones win: the JVM itself reads the first two
// before the command line and the last after it; those between are by convention put on the command line by start scripts.
func jvmEnvironment() (before, after []string) {
	return []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS", "JAVA_OPTIONS", "CATALINA_OPTS", "JVM_OPTS"}, []string{"_JAVA_OPTIONS"}
}

// DetectJVM tells whether a container runs Java, as far as its spec tells: by its command, by JVM options in its arguments, or by
// variables that hold such options. What an image does by itself, or a ConfigMap holds, is not seen.
func DetectJVM(c corev1.Container) (JVM, bool) {
	values := map[string]string{}
	java := false
	for _, e := range c.Env {
		values[e.Name] = e.Value
		java = java || e.Name == "JAVA_HOME"
	}
	j := JVM{MaxRAMPercentage: defaultRAMPercentage}
	before, after := jvmEnvironment()
	fromEnvironment := func(names []string) {
		for _, name := range names {
			if text, ok := values[name]; ok {
				java = true
				for _, option := range words(text) {
					j.option(option)
				}
			}
		}
	}
	fromEnvironment(before)
	for _, list := range [][]string{c.Command, c.Args} {
		for i, arg := range list {
			parts := words(arg)
			for k, word := range parts {
				// The first word of a command, or of what a shell is given to run.
				starts := k == 0 && i == 0 || k == 0 && len(parts) > 1 || k > 0 && startsCommand(parts[k-1]) || k == 0 && i > 0 && startsCommand(list[i-1])
				java = java || starts && path.Base(word) == "java"
				java = j.option(word) || java
			}
		}
	}
	fromEnvironment(after)
	return j, java
}

func startsCommand(word string) bool {
	switch word {
	case "exec", "&&", "||", ";", "--", "-c":
		return true
	}
	return strings.HasSuffix(word, ";")
}

// words splits a text at white space; quotes keep it together and are dropped.
func words(text string) []string {
	var out []string
	var word strings.Builder
	var quote rune
	open := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, open = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if open || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
		}
	}
	if open || word.Len() > 0 {
		out = append(out, word.String())
	}
	return out
}

// option takes in one JVM option about memory, and tells whether it was one.
func (j *JVM) option(word string) bool {
	if size, ok := strings.CutPrefix(word, "-Xmx"); ok {
		return setSize(&j.MaxHeap, size)
	}
	flag, ok := strings.CutPrefix(word, "-XX:")
	if !ok {
		return false
	}
	name, value, _ := strings.Cut(flag, "=")
	switch name {
	case "MaxHeapSize":
		return setSize(&j.MaxHeap, value)
	case "MaxMetaspaceSize":
		return setSize(&j.Metaspace, value)
	case "ReservedCodeCacheSize":
		return setSize(&j.CodeCache, value)
	case "MaxDirectMemorySize":
		return setSize(&j.Direct, value)
	case "MaxRAMPercentage":
		if v, err := strconv.ParseFloat(value, 64); err == nil && v > 0 && v <= 100 {
			j.MaxRAMPercentage = v
			return true
		}
	case "MaxRAMFraction":
		if v, err := strconv.ParseFloat(value, 64); err == nil && v >= 1 && !math.IsInf(v, 1) {
			j.MaxRAMPercentage = 100 / v
			return true
		}
	}
	return false
}

// setSize reads a size as the JVM writes it: a number with k, m, g or t, or none for bytes.
func setSize(into *int64, text string) bool {
	if text == "" {
		return false
	}
	digits, shift := text, 0
	switch text[len(text)-1] {
	case 'k', 'K':
		shift = 10
	case 'm', 'M':
		shift = 20
	case 'g', 'G':
		shift = 30
	case 't', 'T':
		shift = 40
	}
	if shift > 0 {
		digits = text[:len(text)-1]
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v <= 0 || v > math.MaxInt64>>shift>>1 {
		return false
	}
	*into = v << shift
	return true
}

// Floor is the memory in bytes below which a request must not fall: heap and what the JVM needs outside of it. Where the heap is a
// share of the limit, limit is the container's in bytes; 0 there means that the heap depends on the node, and no floor is known.
func (j JVM) Floor(limit int64) int64 {
	heap := j.MaxHeap
	if heap == 0 {
		heap = int64(float64(limit) * j.MaxRAMPercentage / 100)
	}
	if heap == 0 {
		return 0
	}
	outside := max(int64(float64(heap)*overheadShare), overheadLeast)
	if j.Metaspace > 0 && j.CodeCache > 0 {
		outside = j.Metaspace + j.CodeCache + threadsAndSymbols
	}
	floor := heap + outside + j.Direct
	if j.MaxHeap == 0 { // a heap that is a share of the limit leaves the rest of the limit to everything else
		floor = min(floor, limit)
	}
	return floor
}

// RunsJava tells whether any container of a pod runs Java.
func RunsJava(spec *corev1.PodSpec) bool {
	if spec == nil {
		return false
	}
	for _, c := range spec.Containers {
		if _, java := DetectJVM(c); java {
			return true
		}
	}
	return false
}

// heapDrift refuses a change of the memory limit in place where the heap is a share of the limit: the JVM read it when it started.
func heapDrift(c corev1.Container, want corev1.ResourceRequirements, _ PredictOptions) *Refusal {
	j, java := DetectJVM(c)
	if !java || j.MaxHeap > 0 {
		return nil
	}
	have, has := c.Resources.Limits[corev1.ResourceMemory]
	wanted, wants := want.Limits[corev1.ResourceMemory]
	if has == wants && (!has || have.Cmp(wanted) == 0) {
		return nil
	}
	return &Refusal{
		v1alpha1.ReasonJVMHeapDrift,
		"container " + c.Name + ": the heap is " + strconv.FormatFloat(j.MaxRAMPercentage, 'g', -1, 64) +
			"% of the memory limit at the start of the JVM, which another limit would not change",
	}
}
