// Command bench-recommender measures Supercargo's estimate beside the Vertical Pod Autoscaler's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"supercargo.dev/e2e/bench/recommender"
)

const usage = `bench-recommender measures Supercargo's estimate beside the Vertical Pod Autoscaler's recommender, which runs from its own
packages in the same process, on the same samples in the same order.

Quality: traces of real usage are replayed minute by minute; every half hour the recommendation is applied, and the half
hour that follows judges it. Scale: memory, time of a sample, of a recompute, and of registering scalers.

Traces in DIR are all files named *.csv or *.csv.gz, in one of two formats, told apart by their columns:
  samples a minute      day, pod, workload, ts (seconds since 1970), cpu_m (thousandths of a core), mem_mi (MiB)
  windows of 15 minutes interval_start (2006-01-02 15:04:05 -0700 MST), workload, container_name,
                        cpu_usage_container_{avg,min,max} (cores), memory_usage_container_{avg,min,max} (bytes)
Other columns are ignored. Pods of one workload share a history. A window becomes 15 minutes with its least, its highest
and, in the others, what gives its average.

Flags:
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-recommender:", err)
		os.Exit(1)
	}
}

func run() error {
	f := flag.NewFlagSet("bench-recommender", flag.ContinueOnError)
	o := recommender.Options{Out: os.Stdout, Now: time.Now()}
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.Data, "data", "../shared/data", "folder that holds usage-nezha and usage-kruize")
	f.Func("traces", "`DIR` with more traces; may be given several times", func(s string) error {
		o.Traces = append(o.Traces, s)
		return nil
	})
	f.BoolVar(&o.Short, "short", false, "smaller scales: less than a minute")
	f.StringVar(&o.JSON, "json", "out/bench/recommender.json", "file for all rows; empty: none")
	f.StringVar(&o.Docs, "docs", "", "folder of docs/ to write plots and the generated block into")
	err := f.Parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is no flag; see --help", f.Arg(0))
	}
	return recommender.Run(o)
}
