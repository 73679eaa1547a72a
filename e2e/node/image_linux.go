package node

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// Images of the node: both hold nothing but the workload program.
const (
	// WorkloadImage burns what it is told to: see package workload.
	WorkloadImage = "supercargo.dev/workload:latest"
	pauseImage    = "supercargo.dev/pause:latest"
)

// image is what an archive says of one image.
type image struct {
	tag        string
	entrypoint []string
}

// images are made here because no registry is needed then.
func images() []image {
	return []image{{WorkloadImage, []string{"/workload"}}, {pauseImage, []string{"/workload", "--pause"}}}
}

// writeImages writes images that consist of one static program, /workload, as an archive of `docker save`'s format
// (https://github.com/moby/docker-image-spec/blob/main/spec.md, "Combined Image JSON + Filesystem Changeset Format"), which
// containerd imports.
func writeImages(out io.Writer, program []byte, images ...image) error {
	layer, err := archive(file{"workload", 0o755, program})
	if err != nil {
		return fmt.Errorf("writing the layer, %w", err)
	}
	const layerName = "layer.tar"
	files := []file{{layerName, 0o644, layer}}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	manifest := make([]entry, 0, len(images))
	for _, i := range images {
		config, err := json.Marshal(map[string]any{
			"architecture": runtime.GOARCH, "os": "linux",
			"config": map[string]any{"Entrypoint": i.entrypoint},
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
		})
		if err != nil {
			return fmt.Errorf("writing the configuration of %s, %w", i.tag, err)
		}
		name := digest(config) + ".json"
		files = append(files, file{name, 0o644, config})
		manifest = append(manifest, entry{name, []string{i.tag}, []string{layerName}})
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("writing the manifest, %w", err)
	}
	whole, err := archive(append(files, file{"manifest.json", 0o644, text})...)
	if err != nil {
		return fmt.Errorf("writing the archive, %w", err)
	}
	_, err = out.Write(whole)
	return err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

type file struct {
	name    string
	mode    int64
	content []byte
}

// archive is a tar of the files; the same files give the same bytes.
func archive(files ...file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// writeImageFile writes the node's images, made of the program, to a file.
func writeImageFile(path, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("reading the workload program (run `make e2e-node`), %w", err)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("creating the image archive, %w", err)
	}
	if err := writeImages(out, content, images()...); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}
