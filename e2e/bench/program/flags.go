package program

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"supercargo.dev/e2e/bench/packing/input"
)

// Custom is the case that a user states with --pods.
const Custom = "custom"

// Flags mean the same in each program.
type Flags struct {
	// Short asks for less of everything.
	Short bool
	// Pods is a file of pods, one JSON object per line: the case Custom; empty for the cases of the program.
	Pods string
	// Seed of what is drawn.
	Seed uint64
	// Runs of which the median is shown; 0 leaves it to the program.
	Runs int
	// Out is the folder of the JSON files, Docs that of benchmarks.md, Data that of published traces.
	Out, Docs, Data string

	cases string
	known []string
}

// Texts say of each flag what differs between the programs.
type Texts struct {
	Short, Seed, Runs, Out string
	// Whole names what must not be given for a run to write the docs.
	Whole string
	// Cases that the program has, without Custom.
	Cases []string
}

// NewFlags adds the flags to a set. Help shows about, an example of a file of pods, more, and then the flags.
func NewFlags(set *flag.FlagSet, errs io.Writer, about, more string, texts Texts) *Flags {
	set.SetOutput(errs)
	set.Usage = func() {
		fmt.Fprintf(set.Output(), `%s
A file of pods has one Pod as JSON on each line, as kubectl get pods -A -o json | jq -c '.items[]' prints them:

  %s
%s
Flags:
`, about, input.Example(), more)
		set.PrintDefaults()
	}
	f := &Flags{known: texts.Cases}
	set.BoolVar(&f.Short, "short", false, texts.Short)
	set.StringVar(&f.cases, "case", "", "comma-separated: "+strings.Join(texts.Cases, ", ")+" (default all; "+Custom+" with --pods)")
	set.StringVar(&f.Pods, "pods", "", "`FILE` of pods, one JSON object per line: the case "+Custom)
	set.Uint64Var(&f.Seed, "seed", 1, texts.Seed)
	set.IntVar(&f.Runs, "runs", 0, texts.Runs)
	set.StringVar(&f.Out, "out", "out/bench", "`DIR` for "+texts.Out)
	set.StringVar(&f.Docs, "docs", "docs", "`DIR` of benchmarks.md and the plots, which only a full run without "+texts.Whole+" writes")
	set.StringVar(&f.Data, "data", "../shared/data", "`DIR` with pods-openb, for the case openb")
	return f
}

// Check says what is wrong with the flags after set was parsed.
func (f *Flags) Check(set *flag.FlagSet) error {
	switch {
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q; see --help", set.Arg(0))
	case f.Runs < 0:
		return fmt.Errorf("--runs is %d, want 1 or more", f.Runs)
	case f.Pods != "" && f.cases != "" && f.cases != Custom:
		return fmt.Errorf("--pods is the case %s; drop --case %s", Custom, f.cases)
	case f.Pods != "" || f.cases == "":
		return nil
	}
	for _, c := range f.asked() {
		switch {
		case c == Custom:
			return fmt.Errorf("--case %s wants --pods FILE", Custom)
		case !slices.Contains(f.known, c):
			return fmt.Errorf("--case has no %q; there are %s and, with --pods, %s", c, strings.Join(f.known, ", "), Custom)
		}
	}
	return nil
}

func (f *Flags) asked() []string {
	var out []string
	for c := range strings.SplitSeq(f.cases, ",") {
		out = append(out, strings.TrimSpace(c))
	}
	return out
}

// Wants tells whether a case is to be run.
func (f *Flags) Wants(name string) bool {
	switch {
	case f.Pods != "":
		return name == Custom
	case f.cases == "":
		return name != Custom
	default:
		return slices.Contains(f.asked(), name)
	}
}

// Whole tells whether the program runs all of its cases at their full size.
func (f *Flags) Whole() bool { return !f.Short && f.cases == "" && f.Pods == "" }

// ReadPods reads the file of --pods; what was understood in another way than it is written is told to w.
func (f *Flags) ReadPods(w io.Writer) (*input.Pods, error) {
	file, err := os.Open(f.Pods)
	if err != nil {
		return nil, fmt.Errorf("opening --pods, %w", err)
	}
	defer file.Close() // only read
	pods, err := input.ReadPods(file)
	if err != nil {
		return nil, fmt.Errorf("reading --pods %s, %w", f.Pods, err)
	}
	for _, note := range pods.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	return pods, nil
}
