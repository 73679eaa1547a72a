package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func benchmark(ctx context.Context, o Options, out io.Writer) error {
	if o.Dir == "" {
		var err error
		if o.Dir, err = os.MkdirTemp("", "endtoend-"); err != nil {
			return err
		}
	}
	var results []Result
	for _, c := range Cases(o) {
		r, _, err := Run(ctx, o, c, out)
		if err != nil {
			return fmt.Errorf("%s, %w (logs: %s)", c.Name, err, o.Dir)
		}
		results = append(results, r)
	}
	text, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.Dir, "e2e.json"), text, 0o600)
}
