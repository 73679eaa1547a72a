// Package discovery creates a WorkloadScaler for every workload that a WorkloadScalerRule selects, and removes it when the
// workload is no longer selected.
//
// It owns the scalers that carry the rule's label and touches no other: a person who takes the label off takes the scaler over.
// What a scaler recommends is decided elsewhere.
package discovery
