package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// scalerName is the name of the scaler of a workload: <name>-<kind> in lower case. It depends on nothing but the workload, so
// that two replicas, two rules or two runs never create two scalers for one workload.
func scalerName(name, kind string) string {
	return shorten(name+"-"+strings.ToLower(kind), validation.DNS1123SubdomainMaxLength)
}

// alternativeName is the scaler's name where another workload's scaler has taken scalerName, as that of a person may.
func alternativeName(name, kind, targetKey string) string {
	return shorten(name+"-"+strings.ToLower(kind), validation.DNS1123SubdomainMaxLength-9) + "-" + digest(targetKey)
}

// RuleLabelValue is the value of the rule label for a rule's name. Labels are shorter than names, so a long name is cut and told
// from its like by a hash.
func RuleLabelValue(rule string) string { return shorten(rule, validation.LabelValueMaxLength) }

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.TrimRight(s[:limit-9], "-.") + "-" + digest(s)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}
