package backfill

import (
	"regexp"

	"supercargo.dev/recommender/estimate"
)

// suffixes of the names of pods that controllers create, after the workload's name. History names pods that are long gone, so that
// their owners cannot be asked for.
func suffixes() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"Deployment.apps":     regexp.MustCompile(`^-[a-z0-9]{1,10}-[a-z0-9]{5}$`),
		"Rollout.argoproj.io": regexp.MustCompile(`^-[a-z0-9]{1,10}-[a-z0-9]{5}$`),
		"ReplicaSet.apps":     regexp.MustCompile(`^-[a-z0-9]{5}$`),
		"DaemonSet.apps":      regexp.MustCompile(`^-[a-z0-9]{5}$`),
		"StatefulSet.apps":    regexp.MustCompile(`^-[0-9]+$`),
		"Job.batch":           regexp.MustCompile(`^-([0-9]+-)?[a-z0-9]{5}$`),
		"CronJob.batch":       regexp.MustCompile(`^-[0-9]+-([0-9]+-)?[a-z0-9]{5}$`),
	}
}

// matcher tells of which workload a pod of a given name was. Names do not always say it beyond doubt: the pod web-api-1 may be of
// StatefulSet web-api or be named so by hand; the workload with the longest name wins.
type matcher struct {
	suffixes map[string]*regexp.Regexp
	known    map[podName]estimate.Workload // pods that exist
	byNS     map[string][]estimate.Workload
	memo     map[podName]answer
}

type podName struct{ namespace, name string }

type answer struct {
	workload estimate.Workload
	ok       bool
}

func newMatcher(workloads []estimate.Workload, known map[podName]estimate.Workload) *matcher {
	m := &matcher{suffixes: suffixes(), known: known, byNS: map[string][]estimate.Workload{}, memo: map[podName]answer{}}
	for _, w := range workloads {
		m.byNS[w.Namespace] = append(m.byNS[w.Namespace], w)
	}
	return m
}

func (m *matcher) match(namespace, pod string) (estimate.Workload, bool) {
	key := podName{namespace, pod}
	if w, ok := m.known[key]; ok {
		return w, true
	}
	a, ok := m.memo[key]
	if !ok {
		a = m.search(key)
		m.memo[key] = a
	}
	return a.workload, a.ok
}

func (m *matcher) search(p podName) (best answer) {
	for _, w := range m.byNS[p.namespace] {
		suffix := m.suffixes[w.Kind]
		if suffix == nil || len(p.name) <= len(w.Name) || p.name[:len(w.Name)] != w.Name || !suffix.MatchString(p.name[len(w.Name):]) {
			continue
		}
		if !best.ok || len(w.Name) > len(best.workload.Name) || len(w.Name) == len(best.workload.Name) && w.Kind < best.workload.Kind {
			best = answer{w, true}
		}
	}
	return best
}
