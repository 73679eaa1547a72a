package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
)

const (
	// ManifestName is the ConfigMap that lists the chunks of the present checkpoint.
	ManifestName = "supercargo-history"
	// chunkLabel marks the ConfigMaps that hold chunks.
	chunkLabel = v1alpha1.GroupName + "/history"
	// namePrefix of a chunk; the rest is a part of its content's hash.
	namePrefix = ManifestName + "-"
	contentKey = "content"
	listKey    = "manifest"
	// format of the manifest. A reader refuses others.
	format = 1
)

// manifest lists what makes up a checkpoint.
type manifest struct {
	Format  int             `json:"format"`
	Written time.Time       `json:"written"`
	Shards  []manifestShard `json:"shards"`
}

type manifestShard struct {
	Sum       string   `json:"sum"` // SHA-256 of the compressed shard
	Workloads int      `json:"workloads"`
	Chunks    []string `json:"chunks"` // names of ConfigMaps, in order
}

// ErrOtherWriter says that somebody else has written a checkpoint since this one was read: another leader is at work.
var ErrOtherWriter = errors.New("another writer has replaced the checkpoint")

// Objects reads and writes checkpoints. It is safe for concurrent use.
type Objects struct {
	Client client.Client
	// Direct reads from the API server; chunks are too large to be kept in a cache.
	Direct    client.Reader
	Namespace string

	mu sync.Mutex
	// found is the manifest as last read or written. Nil before it is read.
	found *corev1.ConfigMap
}

// Loaded is what was read.
type Loaded struct {
	Histories []estimate.History
	// Written is when; zero where there was no checkpoint.
	Written time.Time
	// Damage lists what could not be read.
	Damage []error
}

// Load reads the checkpoint. Damage is reported in the result; the error is that of the API server, after which nothing is known.
func (o *Objects) Load(ctx context.Context) (Loaded, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	cm := &corev1.ConfigMap{}
	err := o.Direct.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: ManifestName}, cm)
	if apierrors.IsNotFound(err) {
		o.found = o.empty()
		return Loaded{}, nil
	}
	if err != nil {
		return Loaded{}, fmt.Errorf("reading the checkpoint's manifest, %w", err)
	}
	o.found = cm
	m, err := parse(cm)
	if err != nil {
		return Loaded{Damage: []error{err}}, nil
	}
	out := Loaded{Written: m.Written}
	for i, s := range m.Shards {
		histories, err := o.shard(ctx, s)
		var status apierrors.APIStatus
		if errors.As(err, &status) && !apierrors.IsNotFound(err) {
			return Loaded{}, err
		}
		if err != nil {
			out.Damage = append(out.Damage, fmt.Errorf("shard %d of %d with %d workloads, %w", i+1, len(m.Shards), s.Workloads, err))
		}
		out.Histories = append(out.Histories, histories...)
	}
	return out, nil
}

func parse(cm *corev1.ConfigMap) (manifest, error) {
	var m manifest
	if err := json.Unmarshal([]byte(cm.Data[listKey]), &m); err != nil {
		return manifest{}, fmt.Errorf("reading the checkpoint's manifest, %w", err)
	}
	if m.Format != format {
		return manifest{}, fmt.Errorf("reading the checkpoint's manifest: format %d is not known", m.Format)
	}
	return m, nil
}

func (o *Objects) empty() *corev1.ConfigMap {
	cm := &corev1.ConfigMap{}
	cm.Namespace, cm.Name = o.Namespace, ManifestName
	return cm
}

func (o *Objects) shard(ctx context.Context, s manifestShard) ([]estimate.History, error) {
	var data []byte
	for _, name := range s.Chunks {
		cm := &corev1.ConfigMap{}
		if err := o.Direct.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: name}, cm); err != nil {
			return nil, fmt.Errorf("reading chunk %s, %w", name, err)
		}
		data = append(data, cm.BinaryData[contentKey]...)
	}
	if digest(data) != s.Sum {
		return nil, errors.New("its checksum is wrong")
	}
	return decode(data)
}

// Save writes histories as the new checkpoint and removes what only the former one held. It returns ErrOtherWriter, with nothing
// changed for readers, where another has written since Load or the last Save.
func (o *Objects) Save(ctx context.Context, histories []estimate.History, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.found == nil {
		return errors.New("saving a checkpoint before the former one was read")
	}
	shards, err := encode(histories)
	if err != nil {
		return err
	}
	m := manifest{Format: format, Written: now.UTC().Truncate(time.Second)}
	keep := map[string]bool{}
	for _, s := range shards {
		entry := manifestShard{Sum: s.sum, Workloads: s.workloads}
		for i, content := range chunks(s.data) {
			name := namePrefix + s.sum[:20] + "-" + strconv.Itoa(i)
			keep[name] = true
			entry.Chunks = append(entry.Chunks, name)
			if err := o.chunk(ctx, name, content); err != nil {
				return err
			}
		}
		m.Shards = append(m.Shards, entry)
	}
	if err := o.commit(ctx, m); err != nil {
		return err
	}
	return o.sweep(ctx, keep)
}

// chunk writes a chunk unless it is there: its name says what it holds.
func (o *Objects) chunk(ctx context.Context, name string, content []byte) error {
	immutable := true
	cm := &corev1.ConfigMap{BinaryData: map[string][]byte{contentKey: content}, Immutable: &immutable}
	cm.Namespace, cm.Name = o.Namespace, name
	cm.Labels = map[string]string{chunkLabel: "chunk"}
	if err := o.Client.Create(ctx, cm); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("writing chunk %s, %w", name, err)
	}
	return nil
}

func (o *Objects) commit(ctx context.Context, m manifest) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the checkpoint's manifest, %w", err)
	}
	cm := o.found.DeepCopy()
	cm.Data = map[string]string{listKey: string(text)}
	if cm.ResourceVersion == "" {
		err = o.Client.Create(ctx, cm)
	} else {
		err = o.Client.Update(ctx, cm)
	}
	if apierrors.IsNotFound(err) { // a person deleted it; what is in memory is all there is
		cm.ResourceVersion, cm.UID = "", ""
		err = o.Client.Create(ctx, cm)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%w: %w", ErrOtherWriter, err)
	case err != nil:
		return fmt.Errorf("writing the checkpoint's manifest, %w", err)
	}
	o.found = cm
	return nil
}

// sweep deletes chunks that the manifest does not list.
func (o *Objects) sweep(ctx context.Context, keep map[string]bool) error {
	var list metaList
	if err := list.read(ctx, o.Direct, o.Namespace); err != nil {
		return err
	}
	var failed error
	for _, name := range list.names {
		if keep[name] {
			continue
		}
		cm := &corev1.ConfigMap{}
		cm.Namespace, cm.Name = o.Namespace, name
		if err := o.Client.Delete(ctx, cm); client.IgnoreNotFound(err) != nil {
			failed = errors.Join(failed, fmt.Errorf("deleting chunk %s, %w", name, err))
		}
	}
	return failed
}
