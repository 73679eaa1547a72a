package main

import (
	"archive/zip"
	"compress/flate"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// write puts one file per region beside the types, so that reading one region inflates no other.
// Entries carry no time of writing: the same sources give the same bytes.
func write(out string, c *catalog) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })

	meta, err := z.Create("meta.json")
	if err != nil {
		return err
	}
	enc := json.NewEncoder(meta)
	enc.SetIndent("", " ")
	if err := enc.Encode(c); err != nil {
		return fmt.Errorf("writing meta.json, %w", err)
	}
	if err := writeCSV(z, "types.csv", c.types); err != nil {
		return err
	}
	for _, region := range slices.Sorted(maps.Keys(c.regions)) {
		if err := writeCSV(z, "regions/"+region+".csv", c.regions[region]); err != nil {
			return err
		}
	}
	return z.Close()
}

func writeCSV(z *zip.Writer, name string, rows [][]string) error {
	w, err := z.Create(name)
	if err != nil {
		return err
	}
	c := csv.NewWriter(w)
	if err := c.WriteAll(rows); err != nil {
		return fmt.Errorf("writing %s, %w", name, err)
	}
	return nil
}
