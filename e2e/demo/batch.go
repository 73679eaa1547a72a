package demo

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/e2e/demo/apps"
	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/sandbox"
)

// batch runs the Jobs and waits for the machines bought for them to go.
func (s *story) batch(ctx context.Context) error {
	s.show.event("submitting a batch: %d Jobs with %d pods each, which prefer spot and run for %s", s.Batch.Jobs, s.Batch.PodsPerJob, s.Batch.RunFor)
	jobs, err := s.Batch.Objects()
	if err != nil {
		return err
	}
	if err := s.create(ctx, append([]client.Object{s.Batch.Namespace()}, jobs...)...); err != nil {
		return err
	}
	peak := 0.0
	if _, err := s.await(ctx, expectation{
		what: "the Jobs to complete", limit: batchLimit, by: sandbox.Provisioner,
		met: func(o observe.Snapshot) (bool, string) {
			peak = max(peak, o.Bill.PerHour)
			return o.Pods.Succeeded >= s.Batch.Pods(), fmt.Sprintf("%d of %d succeeded; %s", o.Pods.Succeeded, s.Batch.Pods(), describe(o))
		},
	}); err != nil {
		return err
	}
	ended := time.Now()
	normal := s.mark.Bill.PerHour*backToNormalShare + backToNormalUSD
	s.show.event("the batch is done, at $%.4f/h; waiting for $%.4f/h, what it cost before and what is not worth a move", peak, normal)
	end, err := s.await(ctx, expectation{
		what: "the machines of the batch to go", limit: removeLimit, by: sandbox.Provisioner,
		met: func(o observe.Snapshot) (bool, string) {
			ok, state := settled(o, s.pods(), shortQuiet)
			return ok && o.Bill.PerHour <= normal, state
		},
	})
	if err != nil {
		return err
	}
	// The quiet at the end is ours, not the provisioner's.
	s.report.ScaleDownSeconds = max(end.At.Sub(ended)-end.Quiet, 0).Round(100 * time.Millisecond).Seconds()
	if err := s.failedJobs(ctx); err != nil {
		return err
	}
	return s.close(ctx, StageBatchDone, end)
}

func (s *story) failedJobs(ctx context.Context) error {
	jobs := &batchv1.JobList{}
	if err := s.kube.List(ctx, jobs, client.InNamespace(apps.BatchNamespace)); err != nil {
		return fmt.Errorf("listing jobs, %w", err)
	}
	for i := range jobs.Items {
		if j := &jobs.Items[i]; j.Status.Succeeded < s.Batch.PodsPerJob {
			return fmt.Errorf("job %s has %d of %d pods succeeded, %d failed", j.Name, j.Status.Succeeded, s.Batch.PodsPerJob, j.Status.Failed)
		}
	}
	return nil
}
