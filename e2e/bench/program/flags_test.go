package program

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"supercargo.dev/e2e/bench/packing/input"
)

func parse(t *testing.T, errs io.Writer, args ...string) (*Flags, error) {
	t.Helper()
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	f := NewFlags(set, errs, "About.", "More.", Texts{Cases: []string{"one", "two"}})
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return f, f.Check(set)
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"more":                 "more",
		"--runs -1":            "--runs",
		"--pods x --case one":  "drop --case one",
		"--case custom":        "--pods FILE",
		"--case one,nonsense":  `"nonsense"; there are one, two`,
		"--case one,,two":      `""`,
		"--case one, two more": "two",
	} {
		if _, err := parse(t, io.Discard, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %s", args, err, want)
		}
	}
}

func TestCasesAreThoseAskedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		args             []string
		one, two, custom bool
		whole            bool
	}{
		"all without a word":              {nil, true, true, false, true},
		"all, at a smaller size":          {[]string{"--short"}, true, true, false, false},
		"one alone":                       {[]string{"--case", "one"}, true, false, false, false},
		"several, with blanks":            {[]string{"--case", "one, two"}, true, true, false, false},
		"a file of pods and nothing else": {[]string{"--pods", "x"}, false, false, true, false},
		"the same, said twice":            {[]string{"--pods", "x", "--case", "custom"}, false, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parse(t, io.Discard, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			if f.Wants("one") != tc.one || f.Wants("two") != tc.two || f.Wants(Custom) != tc.custom || f.Whole() != tc.whole {
				t.Errorf("wants one %t, two %t, custom %t; whole %t", f.Wants("one"), f.Wants("two"), f.Wants(Custom), f.Whole())
			}
		})
	}
}

func TestHelpShowsHowAFileOfPodsLooks(t *testing.T) {
	var out strings.Builder
	if _, err := parse(t, &out, "--help"); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v, want that help was asked for", err)
	}
	for _, want := range []string{"About.", input.Example(), "More.", "one, two", "-seed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help does not show %q:\n%s", want, out.String())
		}
	}
}

func TestAFileOfPodsThatCannotBeReadIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pods.jsonl")
	for name, content := range map[string]*string{"missing": nil, "no pods": new("{")} {
		t.Run(name, func(t *testing.T) {
			if content != nil {
				if err := os.WriteFile(path, []byte(*content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := parse(t, io.Discard, "--pods", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadPods(io.Discard); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names %s", err, path)
			}
		})
		os.Remove(path)
	}
}
