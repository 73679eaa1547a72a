package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// WriteJSON writes rows as a JSON array, one object per line, so that a diff of two runs shows rows. A reader of the file
// sees all of it or what was there before. Folders are made. No rows are an empty array, not null. JSON has no NaN and no
// infinity: a row that holds one is an error that names its number.
func WriteJSON[T any](path string, rows []T) error {
	text := []byte("[")
	for i := range rows {
		if i > 0 {
			text = append(text, ',')
		}
		row, err := json.Marshal(rows[i])
		if err != nil {
			return fmt.Errorf("encoding row %d for %s, %w", i, path, err)
		}
		text = append(append(text, "\n  "...), row...)
	}
	return WriteFile(path, append(text, "\n]\n"...))
}

// WriteFile puts a file in place in one step, with folders that are missing.
func WriteFile(path string, content []byte) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder of %s, %w", path, err)
	}
	temporary, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s, %w", path, err)
	}
	defer os.Remove(temporary.Name()) // gone after the rename; on failure what is left is only litter
	if _, err := temporary.Write(content); err != nil {
		return fmt.Errorf("writing %s, %w", path, err)
	}
	if err := temporary.Chmod(0o644); err != nil {
		return fmt.Errorf("writing %s, %w", path, err)
	}
	if err := temporary.Close(); err != nil {
		return fmt.Errorf("writing %s, %w", path, err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("putting %s in place, %w", path, err)
	}
	return nil
}
