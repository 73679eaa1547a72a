package policy

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestPodsOfCustomKindsAreFoundBySelectorOrName(t *testing.T) {
	for _, tc := range []struct {
		name    string
		scaler  v1alpha1.WorkloadScaler
		pod     corev1.Pod
		matches bool
		owners  bool   // the scaler follows owner references
		wantErr string // a part of the error
	}{
		{name: "a scaler that says neither follows owners", owners: true},
		{
			name: "a pattern with the workload's name", matches: true,
			scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "{name}-worker-*"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "etl-worker-7"}},
		},
		{
			name:   "a pattern matches the whole name",
			scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "{name}-worker-?"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "etl-worker-17"}},
		},
		{
			name:   "the pods of another workload are not matched",
			scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "{name}-worker-*"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other-worker-1"}},
		},
		{
			name: "a new pod has its name to come", matches: true,
			scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "{name}-worker-?????"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "etl-worker-"}},
		},
		{
			name: "the selector of the scale subresource", matches: true,
			scaler: v1alpha1.WorkloadScaler{Status: v1alpha1.WorkloadScalerStatus{PodSelector: "app=etl,tier!=db"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "etl"}}},
		},
		{
			name:   "the scaler's own selector comes first",
			scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}, Status: v1alpha1.WorkloadScalerStatus{PodSelector: "app=etl"}},
			pod:    corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "etl"}}},
		},
		{name: "a malformed pattern", scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "x["}}, wantErr: "podNamePattern"},
		{name: "a pattern that matches every pod", scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodNamePattern: "**"}}, wantErr: "every pod"},
		{name: "an empty selector", scaler: v1alpha1.WorkloadScaler{Spec: v1alpha1.WorkloadScalerSpec{PodSelector: &metav1.LabelSelector{}}}, wantErr: "every pod"},
		{name: "a malformed scale selector", scaler: v1alpha1.WorkloadScaler{Status: v1alpha1.WorkloadScalerStatus{PodSelector: "=="}}, wantErr: "scale subresource"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.scaler.Spec.TargetRef.Name = "etl"
			match, err := PodMatcher(&tc.scaler)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("got %v, want an error with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || (match == nil) != tc.owners || match != nil && match(&tc.pod) != tc.matches {
				t.Errorf("matcher %t, error %v; want a match: %t", match != nil, err, tc.matches)
			}
		})
	}
}
