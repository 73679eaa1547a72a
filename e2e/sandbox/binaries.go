package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// BinDirVariable names the environment variable with the directory of the built binaries.
const BinDirVariable = "SUPERCARGO_BIN_DIR"

// BinDir returns the directory of the built binaries: what the environment says, else that of the running program when
// supercargo-sandbox lies beside it, else bin/ of the module that the working directory is in.
func BinDir() (string, error) {
	if dir := os.Getenv(BinDirVariable); dir != "" {
		return filepath.Abs(dir)
	}
	if self, err := os.Executable(); err == nil {
		if _, err := binary(filepath.Dir(self), "supercargo-sandbox"); err == nil {
			return filepath.Dir(self), nil
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the binaries, %w", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "bin"), nil
		}
	}
	return "", fmt.Errorf("looking for the binaries: no go.mod in the working directory or above it; set %s", BinDirVariable)
}

// binary returns the path of a built binary.
func binary(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.IsDir() {
		return "", fmt.Errorf("%s is not built: run `make build` (or set %s)", path, BinDirVariable)
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s, %w", name, err)
	}
	return path, nil
}
