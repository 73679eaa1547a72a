package main

import (
	"io"
	"strings"
	"testing"
)

func TestFlagsThatMakeNoSenseAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"":                                      "--cloud",
		"--cloud=sim":                           "--sim-endpoint is needed",
		"--log-level=loud":                      "--log-level",
		"--batch-idle-duration=0s":              "--batch-idle-duration",
		"--batch-idle-duration=1m":              "must not exceed --batch-max-duration",
		"--launches-per-minute=0":               "--launches-per-minute",
		"--max-node-cpus=-1":                    "--max-node-cpus",
		"--max-workload-share-per-node=2":       "--max-workload-share-per-node",
		"--realisable-interval=-1s":             "--realisable-interval",
		"--consolidation-break-even=-1s":        "--consolidation-break-even",
		"--consolidation-capacity-settle=-1s":   "--consolidation-capacity-settle",
		"--consolidation-pod-move-cost=NaN":     "--consolidation-pod-move-cost",
		"--consolidation-min-saving=-0.1":       "--consolidation-min-saving",
		"--consolidation-min-saving-per-hour=x": "--consolidation-min-saving-per-hour",
		"--interruption-cost=+Inf":              "--interruption-cost",
		"--node-fee=NaN":                        "--node-fee",
		"more":                                  `unknown command "more"`,
	} {
		t.Run(args, func(t *testing.T) {
			given := strings.Fields(args)
			if args != "" && !strings.HasPrefix(args, "--cloud") {
				given = append([]string{"--cloud=sim", "--sim-endpoint=http://127.0.0.1:1", "--kubeconfig=/nowhere"}, given...)
			}
			cmd := command()
			cmd.SetArgs(given)
			cmd.SetOut(io.Discard)
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
}
