// Package resize brings running pods to what they are to have: in place through the resize subresource, or by a new pod where
// that is refused and the policy allows it.
//
// Whether a pod may be changed is decided by recommender/policy; what it is to have is computed by recommender/estimate. This
// package acts, one pod at a time, within rates that survive a restart, and takes back what does not work out.
package resize
