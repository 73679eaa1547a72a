package provisioning

import (
	"fmt"
	"sort"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/provisioner/karpenter"
	"supercargo.dev/provisioner/packing"
)

// Reasons of the events that provisioning writes.
const (
	// ReasonNoPlace is on a pod: no node has room for it and none may be bought.
	ReasonNoPlace = "NoPlace"
	// ReasonLaunchesHeldBack is on a NodePool: the limit of launches per minute is used up.
	ReasonLaunchesHeldBack = "LaunchesHeldBack"
	// ReasonPreferencesDropped is on a NodePool: nodes bought of it do not keep all that pods prefer.
	ReasonPreferencesDropped = "PreferencesDropped"
)

// explain says on each pod without a place which rules took the last one, and what would help.
func (c *Controller) explain(s *karpenter.Snapshot, plan packing.Plan, blocked map[string]time.Time) {
	for _, u := range plan.Unplaced {
		pod := s.Pod(u.Pod)
		message := u.Message
		if u.Remedy != "" {
			message += "; " + u.Remedy
		}
		if len(blocked) > 0 {
			message += ". " + waiting(blocked)
		}
		c.recorder.Publish(events.Event{
			InvolvedObject: pod, Type: corev1.EventTypeWarning, Reason: ReasonNoPlace, Message: message,
			DedupeValues: []string{string(pod.UID), message}, DedupeTimeout: 5 * time.Minute,
		})
	}
}

func waiting(blocked map[string]time.Time) string {
	var out []string
	for pool, until := range blocked {
		out = append(out, fmt.Sprintf("%s until %s", pool, until.UTC().Format(time.TimeOnly)))
	}
	sort.Strings(out)
	return "Launches of these nodepools kept failing and are left alone: " + strings.Join(out, ", ") + "."
}

// explainPreferences says on each pool that is bought from how many preferred rules the plan does not meet, and what they count
// for in its price.
func (c *Controller) explainPreferences(plan packing.Plan) {
	if plan.Stats.PreferencesDropped == 0 {
		return
	}
	pools := map[string]bool{}
	for i := range plan.Nodes {
		pools[plan.Nodes[i].Pool] = true
	}
	for pool := range pools {
		np := &karpv1.NodePool{}
		np.Name = pool
		c.recorder.Publish(events.Event{
			InvolvedObject: np, Type: corev1.EventTypeNormal, Reason: ReasonPreferencesDropped,
			Message: fmt.Sprintf("The nodes bought, of this NodePool and others, for $%.4f/h leave %d preferences of pods about nodes, or about being apart on them, "+
				"unmet: they count for $%.4f/h, and no plan was found that meets them for less", plan.Cost, plan.Stats.PreferencesDropped, plan.Stats.PreferencePrice),
			DedupeValues: []string{pool}, DedupeTimeout: time.Minute,
		})
	}
}

// warnRateLimited says on each pool concerned that launches are held back.
func (c *Controller) warnRateLimited(_ *karpenter.Snapshot, nodes []packing.PlannedNode, denied int) {
	pools := map[string]bool{}
	for _, n := range nodes {
		pools[n.Pool] = true
	}
	for pool := range pools {
		np := &karpv1.NodePool{}
		np.Name = pool
		c.recorder.Publish(events.Event{
			InvolvedObject: np, Type: corev1.EventTypeWarning, Reason: ReasonLaunchesHeldBack,
			Message:      fmt.Sprintf("%d launches wait: %s", denied, errRateLimited),
			DedupeValues: []string{pool}, DedupeTimeout: time.Minute,
		})
	}
}
