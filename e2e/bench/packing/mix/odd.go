package mix

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/e2e/bench/packing/contest"
)

// Kind of mix that one rule or size dominates.
type Kind struct {
	Name string
	Make func(seed uint64) (*contest.Input, error)
}

// Odd are mixes on which a packer may do badly that does well on ordinary ones. All are on real types, on demand or with spot
// by the seed.
func Odd() []Kind {
	return []Kind{
		{"few pods", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 10)
			return onReal(seed, r, Deployments(1+r.IntN(30), seed), true, 1)
		}},
		{"one pod", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 11)
			return onReal(seed, r, []*corev1.Pod{newPod("one", int64(50+r.IntN(20000)), int64(64+r.IntN(60000))).Pod}, seed%3 == 0, 1)
		}},
		{"up to 200 pods", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 12)
			return onReal(seed, r, Deployments(30+r.IntN(170), seed), true, 1)
		}},
		{"apart by host", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 13), apps(seed, 13, 20, 12, func(p pod, app map[string]string) { p.apart(corev1.LabelHostname, app) }), true, 1)
		}},
		{"one app apart by host among others", func(seed uint64) (*contest.Input, error) {
			pods := apps(seed, 14, 10, 20, func(pod, map[string]string) {})
			pods = append(pods, apps(seed, 15, 1, 60, func(p pod, app map[string]string) {
				p.label("app", "edge").apart(corev1.LabelHostname, map[string]string{"app": "edge"})
			})...)
			return onReal(seed, source(seed, 14), unique(pods), true, 1)
		}},
		{"spread over hosts", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 16), apps(seed, 16, 12, 20, func(p pod, app map[string]string) { p.spread(corev1.LabelHostname, 1, app) }), true, 1)
		}},
		{"spread over zones and hosts", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 17), apps(seed, 17, 12, 15, func(p pod, app map[string]string) {
				p.spread(corev1.LabelTopologyZone, 1, app).spread(corev1.LabelHostname, 2, app)
			}), true, 1)
		}},
		{"together in a zone", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 18), apps(seed, 18, 10, 15, func(p pod, app map[string]string) { p.together(corev1.LabelTopologyZone, app) }), true, 1)
		}},
		{"together on a host", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 19), apps(seed, 19, 8, 6, func(p pod, app map[string]string) { p.together(corev1.LabelHostname, app) }), true, 1)
		}},
		{"tiny pods", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 20), sizes(seed, 20, 600, 1, 20, 4, 64), true, 1)
		}},
		{"huge pods", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 21), sizes(seed, 21, 40, 15000, 90000, 20000, 700000), true, 1)
		}},
		{"memory only", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 22), sizes(seed, 22, 150, 1, 50, 4000, 40000), false, 1)
		}},
		{"processors only", func(seed uint64) (*contest.Input, error) {
			return onReal(seed, source(seed, 23), sizes(seed, 23, 150, 500, 12000, 16, 64), false, 1)
		}},
		{"gpus", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 24)
			var pods []*corev1.Pod
			for i := range 60 {
				p := newPod(named("train", i), int64(500+r.IntN(8000)), int64(1000+r.IntN(30000)))
				if r.IntN(3) > 0 {
					p.request("nvidia.com/gpu", pick[int64](r, 1, 1, 1, 2, 4))
				}
				pods = append(pods, p.Pod)
			}
			in, err := onReal(seed, r, pods, true, 1)
			if err != nil {
				return nil, err
			}
			in.Pools[0].Types, err = RealTypes(Market{Spot: seed%2 == 0, GPUs: true})
			return in, err
		}},
		{"many pools", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 25)
			pods := Deployments(150, seed)
			for _, p := range pods {
				switch r.IntN(4) {
				case 0:
					p.Spec.NodeSelector = map[string]string{"team": named("team", r.IntN(4))}
				case 1:
					p.Spec.NodeSelector = map[string]string{corev1.LabelArchStable: pick(r, "amd64", "arm64")}
				}
			}
			return onReal(seed, r, pods, true, 4)
		}},
		{"pinned to zones and capacity types", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 26)
			pods := Deployments(120, seed)
			for _, p := range pods {
				switch r.IntN(4) {
				case 0:
					p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: pick(r, zones()...)}
				case 1:
					p.Spec.NodeSelector = map[string]string{karpv1.CapacityTypeLabelKey: karpv1.CapacityTypeOnDemand}
				}
			}
			return onReal(seed, r, pods, true, 1)
		}},
		{"Karpenter's mix, small", func(seed uint64) (*contest.Input, error) { return KarpenterOwn(20+int(seed%7)*25, seed), nil }},
		{"all equal", func(seed uint64) (*contest.Input, error) {
			r := source(seed, 27)
			cpu, memory := int64(100+r.IntN(3000)), int64(100+r.IntN(12000))
			var pods []*corev1.Pod
			for i := range 20 + r.IntN(200) {
				pods = append(pods, newPod(named("same", i), cpu, memory).label("app", "same").Pod)
			}
			return onReal(seed, r, pods, true, 1)
		}},
	}
}

func source(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// onReal puts pods before pools of real types. Of several pools each has a team label and, but for the first, a weight.
func onReal(seed uint64, r *rand.Rand, pods []*corev1.Pod, daemons bool, pools int) (*contest.Input, error) {
	types, err := RealTypes(Market{Spot: seed%2 == 0})
	if err != nil {
		return nil, err
	}
	in := &contest.Input{Pods: pods, Seed: seed}
	if daemons {
		in.Daemons = Daemons()
	}
	for i := range pools {
		np := NodePool(named("pool", i))
		if pools > 1 {
			np.Spec.Template.Labels = map[string]string{"team": named("team", i)}
			if i > 0 {
				np.Spec.Weight = ptr.To(int32(r.IntN(3)))
			}
		}
		in.Pools = append(in.Pools, contest.Pool{NodePool: np, Types: types})
	}
	return in, nil
}

// apps are n applications of up to so many replicas each, with a rule of their own.
func apps(seed, stream uint64, n, replicas int, rule func(p pod, app map[string]string)) []*corev1.Pod {
	r := source(seed, stream+100)
	var pods []*corev1.Pod
	for a := range n {
		cpu, memory := int64(50+r.IntN(1500)), int64(64+r.IntN(5000))
		app := map[string]string{"app": named("app", a)}
		for i := range 1 + r.IntN(replicas) {
			p := newPod(fmt.Sprintf("%s-%d-%d", app["app"], stream, i), cpu, memory).label("app", app["app"])
			rule(p, app)
			pods = append(pods, p.Pod)
		}
	}
	return pods
}

// unique gives pods of several sources names of their own.
func unique(pods []*corev1.Pod) []*corev1.Pod {
	for i, p := range pods {
		p.Name = named("pod", i)
	}
	return pods
}

// sizes are n pods, each of a size of its own between the given ones in milli-cores and MiB.
func sizes(seed, stream uint64, n, cpuLow, cpuHigh, memoryLow, memoryHigh int) []*corev1.Pod {
	r := source(seed, stream+200)
	pods := make([]*corev1.Pod, n)
	for i := range pods {
		pods[i] = newPod(named("pod", i), int64(cpuLow+r.IntN(cpuHigh-cpuLow)), int64(memoryLow+r.IntN(memoryHigh-memoryLow))).Pod
	}
	return pods
}
