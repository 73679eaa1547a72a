// Package policystatus says in the status of AutoscalingPolicies and RecommendationPolicies whether they are in force, and why not.
//
// What is valid is recommender/policy's and recommender/estimate's to say.
package policystatus
