package manifests

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/kubernetes/pkg/apis/admissionregistration"
	internalv1 "k8s.io/kubernetes/pkg/apis/admissionregistration/v1"
	"k8s.io/kubernetes/pkg/apis/admissionregistration/validation"
)

func TestTheAPIServerTakesEveryGuard(t *testing.T) {
	objects := installation(t)
	policies := pick[*admissionregistrationv1.ValidatingAdmissionPolicy](objects)
	if len(policies) == 0 {
		t.Fatal("no policy")
	}
	bound := map[string]bool{}
	for _, binding := range pick[*admissionregistrationv1.ValidatingAdmissionPolicyBinding](objects) {
		bound[binding.Spec.PolicyName] = true
	}
	for name, policy := range policies {
		if !bound[name] {
			t.Errorf("%s has no binding: it guards nothing", name)
		}
		internalv1.SetObjectDefaults_ValidatingAdmissionPolicy(policy)
		internal := &admissionregistration.ValidatingAdmissionPolicy{}
		if err := internalv1.Convert_v1_ValidatingAdmissionPolicy_To_admissionregistration_ValidatingAdmissionPolicy(policy, internal, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, err := range validation.ValidateValidatingAdmissionPolicy(internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
