package checkpoint

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"sort"

	"supercargo.dev/recommender/estimate"
)

const (
	// chunkBytes is the most that one ConfigMap holds before base64, which makes it a third larger in JSON: below 900 KiB as it is sent,
	// where the API server allows 1 MiB with metadata.
	chunkBytes = 650 << 10
	// shardBytes is the size before compression at which another shard is begun. A corrupt chunk costs one shard.
	shardBytes = 2 << 20
	// maxShardBytes bounds what a shard may grow to when it is read, against a decompression bomb.
	maxShardBytes = 256 << 20
)

// shard is a group of histories as it is stored.
type shard struct {
	data      []byte // compressed
	sum       string // of data, hex
	workloads int
}

// encode groups histories into shards. The same histories give the same shards.
func encode(histories []estimate.History) ([]shard, error) {
	blobs := make(map[uint32][]entry)
	var total int
	entries := make([]entry, 0, len(histories))
	for _, h := range histories {
		b, err := h.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("writing the history of %v, %w", h.Workload, err)
		}
		entries = append(entries, entry{workload: h.Workload, data: b})
		total += len(b)
	}
	n := uint32(1) // a power of two, so that few workloads change their shard as the cluster grows
	for int(n)*shardBytes < total {
		n *= 2
	}
	for _, e := range entries {
		i := hash(e.workload) & (n - 1)
		blobs[i] = append(blobs[i], e)
	}
	keys := make([]uint32, 0, len(blobs))
	for i := range blobs {
		keys = append(keys, i)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	out := make([]shard, 0, len(keys))
	for _, i := range keys {
		s, err := compress(blobs[i])
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

type entry struct {
	workload estimate.Workload
	data     []byte
}

func hash(w estimate.Workload) uint32 {
	h := fnv.New32a()
	for _, s := range []string{w.Namespace, w.Kind, w.Name} {
		_, _ = io.WriteString(h, s) // a hash never fails to write
		_, _ = h.Write([]byte{0})
	}
	return h.Sum32()
}

func compress(entries []entry) (shard, error) {
	sort.Slice(entries, func(i, j int) bool {
		a, b := entries[i].workload, entries[j].workload
		return a.Namespace+"\x00"+a.Kind+"\x00"+a.Name < b.Namespace+"\x00"+b.Kind+"\x00"+b.Name
	})
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	for _, e := range entries {
		if _, err := z.Write(binary.AppendUvarint(nil, uint64(len(e.data)))); err != nil {
			return shard{}, fmt.Errorf("compressing history, %w", err)
		}
		if _, err := z.Write(e.data); err != nil {
			return shard{}, fmt.Errorf("compressing history, %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return shard{}, fmt.Errorf("compressing history, %w", err)
	}
	return shard{data: buf.Bytes(), sum: digest(buf.Bytes()), workloads: len(entries)}, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// decode reads the histories of a shard. Those before the place where it is broken are returned along with the error.
func decode(data []byte) (out []estimate.History, err error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading history, %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxShardBytes))
	if err != nil {
		return nil, fmt.Errorf("reading history, %w", err)
	}
	for len(plain) > 0 {
		n, used := binary.Uvarint(plain)
		if used <= 0 || n > uint64(len(plain)-used) {
			return out, errors.New("reading history: a length is beyond the end")
		}
		var h estimate.History
		if err := h.UnmarshalBinary(plain[used : used+int(n)]); err != nil { //nolint:gosec // n is at most len(plain)
			return out, fmt.Errorf("reading history, %w", err)
		}
		out = append(out, h)
		plain = plain[used+int(n):] //nolint:gosec // as above
	}
	return out, nil
}

// chunks cuts data into pieces that fit an object.
func chunks(data []byte) [][]byte {
	var out [][]byte
	for len(data) > chunkBytes {
		out = append(out, data[:chunkBytes])
		data = data[chunkBytes:]
	}
	return append(out, data)
}
