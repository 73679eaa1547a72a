package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/scheduler-plugins/config"
)

func raw(s string) runtime.Object {
	return &runtime.Unknown{Raw: []byte(s), ContentType: runtime.ContentTypeJSON}
}

func TestDecodeRightsizedPacking(t *testing.T) {
	defaults := config.RightsizedPackingArgs{
		Resources:     []config.ResourceWeight{{Name: corev1.ResourceCPU, Weight: 1}, {Name: corev1.ResourceMemory, Weight: 1}},
		Demand:        config.DemandExpected,
		StayPercent:   ptr.To[int32](30),
		ExpiresWithin: &metav1.Duration{Duration: time.Hour},
	}
	zero := defaults
	zero.StayPercent, zero.ExpiresWithin = ptr.To[int32](0), &metav1.Duration{}
	for name, tc := range map[string]struct {
		args    runtime.Object
		want    config.RightsizedPackingArgs
		wantErr []string
	}{
		"no arguments are the defaults":      {want: defaults},
		"empty arguments too":                {args: raw(`{}`), want: defaults},
		"nothing at all too":                 {args: raw(``), want: defaults},
		"zero is a value":                    {args: raw(`{"stayPercent":0,"expiresWithin":"0s"}`), want: zero},
		"an unknown field":                   {args: raw(`{"stayPercentage":3}`), wantErr: []string{"unknown field", "stayPercentage"}},
		"a field given twice":                {args: raw(`{"stayPercent":3,"stayPercent":4}`), wantErr: []string{"stayPercent"}},
		"every mistake is told":              {args: raw(`{"stayPercent":101,"demand":"Wished","expiresWithin":"-1s"}`), wantErr: []string{"stayPercent", "demand", "expiresWithin"}},
		"a resource twice, one without name": {args: raw(`{"resources":[{"name":"cpu","weight":1},{"name":"cpu","weight":1},{"weight":1}]}`), wantErr: []string{"Duplicate", "resources[2].name"}},
		"weights are from 1 to 100":          {args: raw(`{"resources":[{"name":"cpu","weight":0},{"name":"memory","weight":101}]}`), wantErr: []string{"resources[0].weight", "resources[1].weight"}},
		"pods are not packed by number":      {args: raw(`{"resources":[{"name":"pods","weight":1}]}`), wantErr: []string{"resources[0].name"}},
		"not an object":                      {args: raw(`[]`), wantErr: []string{"decoding"}},
		"an encoding that nobody reads":      {args: &runtime.Unknown{Raw: []byte("k8s\x00"), ContentType: runtime.ContentTypeProtobuf}, wantErr: []string{"not supported"}},
		"an object of some other kind":       {args: &corev1.Pod{}, wantErr: []string{"*v1.Pod"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Decode[config.RightsizedPackingArgs](tc.args)
			check(t, err, tc.wantErr)
			if err == nil {
				if diff := cmp.Diff(tc.want, *got); diff != "" {
					t.Errorf("arguments (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDecodePlannedNode(t *testing.T) {
	for name, tc := range map[string]struct {
		args    runtime.Object
		want    time.Duration
		wantErr string
	}{
		"nothing is the default":    {nil, 5 * time.Minute, ""},
		"a minute":                  {&runtime.Unknown{Raw: []byte(`{"maxWait":"1m"}`)}, time.Minute, ""},
		"none":                      {&runtime.Unknown{Raw: []byte(`{"maxWait":"0s"}`)}, 0, ""},
		"less than none":            {&runtime.Unknown{Raw: []byte(`{"maxWait":"-1s"}`)}, 0, "maxWait"},
		"more than a node may take": {&runtime.Unknown{Raw: []byte(`{"maxWait":"2h"}`)}, 0, "maxWait"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Decode[config.PlannedNodeArgs](tc.args)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Fatal(err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Fatalf("error %v, want one that names %s", err, tc.wantErr)
			case tc.wantErr == "" && got.MaxWait.Duration != tc.want:
				t.Errorf("pods wait for %s at most, want %s", got.MaxWait.Duration, tc.want)
			}
		})
	}
}

func TestDecodeSpotPreference(t *testing.T) {
	defaults := config.SpotPreferenceArgs{DefaultTolerance: v1alpha1.SpotTolerate, InterruptionLoss: &metav1.Duration{Duration: 30 * time.Minute}, PoolSpreadPercent: ptr.To[int32](25)}
	never := defaults
	never.DefaultTolerance = v1alpha1.SpotNever
	for name, tc := range map[string]struct {
		args    runtime.Object
		want    config.SpotPreferenceArgs
		wantErr []string
	}{
		"no arguments are the defaults": {want: defaults},
		"YAML is read as well":          {args: &runtime.Unknown{Raw: []byte("defaultTolerance: never\n"), ContentType: runtime.ContentTypeYAML}, want: never},
		"a misspelt tolerance":          {args: raw(`{"defaultTolerance":"nevr"}`), wantErr: []string{"defaultTolerance", "nevr"}},
		"every mistake is told":         {args: raw(`{"interruptionLoss":"200h","poolSpreadPercent":-1}`), wantErr: []string{"interruptionLoss", "poolSpreadPercent"}},
		"a misspelt field":              {args: raw(`{"tolerance":"never"}`), wantErr: []string{"unknown field"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Decode[config.SpotPreferenceArgs](tc.args)
			check(t, err, tc.wantErr)
			if err == nil {
				if diff := cmp.Diff(tc.want, *got); diff != "" {
					t.Errorf("arguments (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func check(t *testing.T, err error, want []string) {
	t.Helper()
	if (err != nil) != (len(want) > 0) {
		t.Fatalf("got error %v, want one with %q", err, want)
	}
	for _, words := range want {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error %q does not say %q", err, words)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"stayPercent":3}`, `{"defaultTolerance":"never","interruptionLoss":"1h"}`, `{"resources":[{"name":"cpu","weight":1}]}`, "a: [", "null", `{"expiresWithin":null}`} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, yaml bool) {
		object := &runtime.Unknown{Raw: data, ContentType: runtime.ContentTypeJSON}
		if yaml {
			object.ContentType = runtime.ContentTypeYAML
		}
		if args, err := config.Decode[config.RightsizedPackingArgs](object); err == nil {
			if again := args.Validate(); again != nil {
				t.Errorf("decoded arguments are not valid: %v", again)
			}
		}
		if args, err := config.Decode[config.SpotPreferenceArgs](object); err == nil {
			if again := args.Validate(); again != nil {
				t.Errorf("decoded arguments are not valid: %v", again)
			}
		}
	})
}
