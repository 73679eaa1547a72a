package insight

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// Item is one workload of the inventory: what its WorkloadScaler says of it. Amounts are USD per month of 730 hours; nil where unknown.
type Item struct {
	Cluster    string            `json:"cluster,omitempty"`
	Namespace  string            `json:"namespace"`
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Name       string            `json:"name"`
	Labels     map[string]string `json:"labels,omitempty"`
	// Scaler is the name of the WorkloadScaler.
	Scaler string `json:"scaler"`
	// Mode in force, and the policy that sets it; no policy means the scaler's own update policy.
	Mode   v1alpha1.UpdateMode `json:"mode,omitempty"`
	Policy string              `json:"policy,omitempty"`
	// Confidence of the recommendation; empty where there is none.
	Confidence v1alpha1.ConfidenceLevel `json:"confidence,omitempty"`
	// Score from 0 to 100: lower means more room. EfficiencyPercent: low means that much is reserved and not used.
	Score             *int32                   `json:"score,omitempty"`
	EfficiencyPercent *int32                   `json:"efficiencyPercent,omitempty"`
	Resources         []v1alpha1.ResourceScore `json:"resources,omitempty"`
	Savings           *float64                 `json:"savings,omitempty"`
	Reinvestment      *float64                 `json:"reinvestment,omitempty"`
	Net               *float64                 `json:"net,omitempty"`
	// OnNodePools is the part of Net on pods of NodePools, and Realisable what packing makes of that.
	OnNodePools *float64 `json:"onNodePools,omitempty"`
	Realisable  *float64 `json:"realisable,omitempty"`
	// Priority says what is worth doing first: higher comes first.
	Priority   *float64                           `json:"priority,omitempty"`
	ReviewOnly string                             `json:"reviewOnly,omitempty"`
	Pods       int32                              `json:"pods"`
	UpToDate   int32                              `json:"upToDate"`
	Containers []v1alpha1.ContainerRecommendation `json:"containers,omitempty"`
	// Problem is the first thing that stands in the way, as reason and message; empty where nothing does.
	Problem string `json:"problem,omitempty"`
}

// ItemOf reads one WorkloadScaler. The cluster is a name to tell several apart; it may be empty.
func ItemOf(cluster string, s *v1alpha1.WorkloadScaler) Item {
	st := &s.Status
	out := Item{
		Cluster: cluster, Namespace: s.Namespace, APIVersion: s.Spec.TargetRef.APIVersion, Kind: s.Spec.TargetRef.Kind, Name: s.Spec.TargetRef.Name,
		Labels: st.Labels, Scaler: s.Name, Score: st.Score, EfficiencyPercent: st.EfficiencyPercent, Resources: st.ResourceScores,
		Priority: amount(st.Priority), ReviewOnly: st.ReviewOnly, Pods: st.Applied.Pods, UpToDate: st.Applied.UpToDate, Problem: problem(st.Conditions),
	}
	if p := st.Policy; p != nil {
		out.Mode, out.Policy = p.Mode, p.AutoscalingPolicy
	}
	if c := st.CostImpact; c != nil {
		out.Savings, out.Reinvestment, out.Net = amount(c.Savings), amount(c.Reinvestment), amount(c.Net)
		out.OnNodePools, out.Realisable = amount(c.OnNodePools), amount(c.Realisable)
	}
	if r := st.Recommendation; r != nil {
		out.Confidence, out.Containers = r.Confidence.Level, r.Containers
	}
	return out
}

// amount reads a decimal of a status. What is no number is not known.
func amount(text string) *float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &f
}

// problem finds what stands in the way. That nothing is applied is none: it is what Preview is for.
func problem(conditions []metav1.Condition) string {
	for _, kind := range []string{v1alpha1.ConditionTargetFound, v1alpha1.ConditionUsageFresh, v1alpha1.ConditionRecommended} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			return strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}

// Filter selects items. Empty fields select everything.
type Filter struct {
	// Cluster, Namespace and Name are globs of *, ?, [a-z] and [^0-9] on the whole value.
	Cluster, Namespace, Name string
	// Kind of the workload, in any case, for example deployment.
	Kind string
	// Labels of the workload.
	Labels labels.Selector
}

// Validate says which field of the filter cannot be used.
func (f *Filter) Validate() error {
	for _, field := range []struct{ name, glob string }{{"cluster", f.Cluster}, {"namespace", f.Namespace}, {"name", f.Name}} {
		if _, err := policy.MatchGlob(field.glob, ""); err != nil {
			return fmt.Errorf("%s, %w", field.name, err)
		}
	}
	return nil
}

// Selects tells whether an item passes.
func (f *Filter) Selects(i *Item) bool {
	for _, field := range []struct{ glob, value string }{{f.Cluster, i.Cluster}, {f.Namespace, i.Namespace}, {f.Name, i.Name}} {
		if ok, err := policy.MatchGlob(field.glob, field.value); err != nil || !ok {
			return false
		}
	}
	return (f.Kind == "" || strings.EqualFold(f.Kind, i.Kind)) && (f.Labels == nil || f.Labels.Matches(labels.Set(i.Labels)))
}

// SortKey is what an inventory is sorted by.
type SortKey string

// Sort keys. What is worth looking at comes first: high amounts, low scores. What is not known comes last.
const (
	SortNet        SortKey = "net"
	SortPriority   SortKey = "priority"
	SortSavings    SortKey = "savings"
	SortScore      SortKey = "score"
	SortEfficiency SortKey = "efficiency"
	SortName       SortKey = "name"
)

// SortKeys lists the keys.
func SortKeys() []SortKey {
	return []SortKey{SortNet, SortPriority, SortSavings, SortScore, SortEfficiency, SortName}
}

// Sort sorts items by a key, and those that are equal by cluster, namespace, name and kind.
func Sort(items []Item, by SortKey) {
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(compare(&a, &b, by), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Kind, b.Kind))
	})
}

func compare(a, b *Item, by SortKey) int {
	switch by {
	case SortNet:
		return descending(a.Net, b.Net)
	case SortPriority:
		return descending(a.Priority, b.Priority)
	case SortSavings:
		return descending(a.Savings, b.Savings)
	case SortScore:
		return ascending(a.Score, b.Score)
	case SortEfficiency:
		return ascending(a.EfficiencyPercent, b.EfficiencyPercent)
	case SortName:
	}
	return 0
}

func descending[T cmp.Ordered](a, b *T) int {
	if a == nil || b == nil {
		return unknownLast(a, b)
	}
	return cmp.Compare(*b, *a)
}

func ascending[T cmp.Ordered](a, b *T) int {
	if a == nil || b == nil {
		return unknownLast(a, b)
	}
	return cmp.Compare(*a, *b)
}

func unknownLast[T any](a, b *T) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	}
	return -1
}

// Totals are sums over items, in USD per month, of those whose amounts are known.
type Totals struct {
	Workloads    int     `json:"workloads"`
	Savings      float64 `json:"savings"`
	Reinvestment float64 `json:"reinvestment"`
	Net          float64 `json:"net"`
	// OnNodePools and Realisable are nil where no packing run has told yet.
	OnNodePools *float64 `json:"onNodePools,omitempty"`
	Realisable  *float64 `json:"realisable,omitempty"`
	// Unknown counts the workloads whose impact is not known.
	Unknown int `json:"unknown,omitempty"`
}

// Total sums items up.
func Total(items []Item) Totals {
	out := Totals{Workloads: len(items)}
	for i := range items {
		item := &items[i]
		if item.Net == nil || item.Savings == nil || item.Reinvestment == nil {
			out.Unknown++
			continue
		}
		out.Savings += *item.Savings
		out.Reinvestment += *item.Reinvestment
		out.Net += *item.Net
		out.OnNodePools, out.Realisable = plus(out.OnNodePools, item.OnNodePools), plus(out.Realisable, item.Realisable)
	}
	return out
}

// plus adds what is known.
func plus(sum, more *float64) *float64 {
	if sum == nil || more == nil {
		return cmp.Or(sum, more)
	}
	both := *sum + *more
	return &both
}
