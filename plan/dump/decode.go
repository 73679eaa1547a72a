package dump

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"supercargo.dev/api/v1alpha1"
)

// result is what a batch was decoded to.
type result struct {
	number   int
	objects  []decoded
	problems []Problem
}

// decoded is one item; object is nil for a kind that is not used.
type decoded struct {
	kind, key string
	object    any
}

func decodeBatch(b batch) result {
	r := result{number: b.number}
	for i := range b.items {
		item := &b.items[i]
		if d, err := decodeItem(item); err != nil {
			p := identify(item.data)
			p.Document, p.Item, p.Message = item.document, item.item, err.Error()
			if p.Kind == "" {
				p.Kind = item.list.Kind
			}
			r.problems = append(r.problems, p)
		} else {
			r.objects = append(r.objects, d)
		}
	}
	return r
}

// header names an object.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

func decodeItem(item *raw) (decoded, error) {
	if item.isYAML {
		data, err := yaml.YAMLToJSON(item.data)
		if err != nil {
			return decoded{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		item.data = data
	}
	h, ok := quickHeader(item.data)
	if !ok {
		if err := json.Unmarshal(item.data, &h); err != nil {
			return decoded{}, readable(err)
		}
	}
	if h.Kind == "" {
		h.Kind = item.list.Kind
		h.APIVersion = cmp.Or(h.APIVersion, item.list.APIVersion)
	}
	if h.Kind == "" {
		return decoded{}, errors.New("it has no kind")
	}
	group, _, hasGroup := strings.Cut(h.APIVersion, "/")
	if !hasGroup {
		group = ""
	}
	return decodeKind(group, h, item.data)
}

// quickHeader reads the header off the beginning, where kubectl writes it, without decoding the whole item.
func quickHeader(data []byte) (h header, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"apiVersion":"`))
	if !ok {
		return h, false
	}
	version, rest, ok := bytes.Cut(rest, []byte(`","kind":"`))
	if !ok {
		return h, false
	}
	kind, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || len(version) > 128 || len(kind) > 128 || bytes.ContainsAny(version, `"\`) || bytes.ContainsAny(kind, `\`) {
		return h, false
	}
	return header{APIVersion: string(version), Kind: string(kind)}, true
}

func decodeKind(group string, h header, data []byte) (decoded, error) {
	switch group + "/" + h.Kind {
	case "/Pod":
		var p podObject
		return finish(h, data, &p, func() (*meta, any, error) {
			pod := p.pod()
			return &p.Metadata, pod, checkPod(pod)
		})
	case "/Node":
		var n nodeObject
		return finish(h, data, &n, func() (*meta, any, error) {
			node := n.node()
			return &n.Metadata, node, checkNode(node)
		})
	case "/Namespace":
		var n struct {
			Metadata meta `json:"metadata"`
		}
		return finish(h, data, &n, func() (*meta, any, error) {
			return &n.Metadata, &corev1.Namespace{ObjectMeta: n.Metadata.object()}, nil
		})
	case "/PersistentVolumeClaim":
		var c claimObject
		return finish(h, data, &c, func() (*meta, any, error) { return &c.Metadata, c.claim(), nil })
	case "/PersistentVolume":
		var v volumeObject
		return finish(h, data, &v, func() (*meta, any, error) { return &v.Metadata, v.volume(), nil })
	case storagev1.GroupName + "/StorageClass":
		var c classObject
		return finish(h, data, &c, func() (*meta, any, error) { return &c.Metadata, c.class(), nil })
	case storagev1.GroupName + "/CSINode":
		var n csiNodeObject
		return finish(h, data, &n, func() (*meta, any, error) { return &n.Metadata, n.csiNode(), nil })
	case "policy/PodDisruptionBudget":
		var b struct {
			Metadata meta                               `json:"metadata"`
			Spec     policyv1.PodDisruptionBudgetSpec   `json:"spec"`
			Status   policyv1.PodDisruptionBudgetStatus `json:"status"`
		}
		return finish(h, data, &b, func() (*meta, any, error) {
			return &b.Metadata, &policyv1.PodDisruptionBudget{ObjectMeta: b.Metadata.object(), Spec: b.Spec, Status: b.Status}, nil
		})
	case v1alpha1.GroupName + "/WorkloadScaler":
		var s struct {
			Metadata meta                          `json:"metadata"`
			Spec     v1alpha1.WorkloadScalerSpec   `json:"spec"`
			Status   v1alpha1.WorkloadScalerStatus `json:"status"`
		}
		return finish(h, data, &s, func() (*meta, any, error) {
			return &s.Metadata, &v1alpha1.WorkloadScaler{ObjectMeta: s.Metadata.object(), Spec: s.Spec, Status: s.Status}, nil
		})
	case appsv1.GroupName + "/Deployment", appsv1.GroupName + "/StatefulSet", appsv1.GroupName + "/ReplicaSet",
		appsv1.GroupName + "/DaemonSet", batchv1.GroupName + "/Job", batchv1.GroupName + "/CronJob", "/ReplicationController":
		var w workloadObject
		return finish(h, data, &w, func() (*meta, any, error) {
			workload, err := w.workload(h)
			return &w.Metadata, workload, err
		})
	}
	return decoded{kind: h.Kind}, nil
}

// finish decodes data into v and takes the object that make builds of it.
func finish(h header, data []byte, v any, build func() (*meta, any, error)) (decoded, error) {
	if err := json.Unmarshal(data, v); err != nil {
		return decoded{}, readable(err)
	}
	m, object, err := build()
	if err != nil {
		return decoded{}, err
	}
	if m.Name == "" {
		return decoded{}, errors.New("it has no name")
	}
	return decoded{kind: h.Kind, key: h.Kind + "/" + m.Namespace + "/" + m.Name, object: object}, nil
}

// readable says what is wrong with an item in terms of the item, not of Go's types.
func readable(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if wrongType.Field == "" {
			return fmt.Errorf("it is a %s, not an object", wrongType.Value)
		}
		return fmt.Errorf("%s holds a %s, which does not belong there", wrongType.Field, wrongType.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it is no JSON: %s", strings.TrimPrefix(syntax.Error(), "json: "))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// merge adds what a batch was decoded to.
func (o *Objects) merge(r *result) {
	if o.seen == nil {
		o.seen, o.Ignored = map[string]bool{}, map[string]int{}
	}
	for _, d := range r.objects {
		if d.object == nil {
			o.Ignored[d.kind]++
			continue
		}
		if o.seen[d.key] {
			o.Repeated++
			continue
		}
		o.seen[d.key] = true
		switch object := d.object.(type) {
		case *corev1.Pod:
			o.Pods = append(o.Pods, object)
		case *corev1.Node:
			o.Nodes = append(o.Nodes, object)
		case *corev1.Namespace:
			o.Namespaces = append(o.Namespaces, object)
		case *corev1.PersistentVolumeClaim:
			o.Claims = append(o.Claims, object)
		case *corev1.PersistentVolume:
			o.Volumes = append(o.Volumes, object)
		case *storagev1.StorageClass:
			o.Classes = append(o.Classes, object)
		case *storagev1.CSINode:
			o.CSINodes = append(o.CSINodes, object)
		case *policyv1.PodDisruptionBudget:
			o.Budgets = append(o.Budgets, object)
		case *v1alpha1.WorkloadScaler:
			o.Scalers = append(o.Scalers, object)
		case *Workload:
			o.Workloads = append(o.Workloads, *object)
		}
	}
}

// identify finds kind and name of an item that is broken or cut off, as far as it can be read.
func identify(data []byte) Problem {
	var p Problem
	decoder := json.NewDecoder(bytes.NewReader(data))
	var path []string // the keys down to the current object; "[" for an array
	key := ""
	expectKey := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return p
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				path = append(path, key)
				expectKey = token == '{'
				if token == '[' {
					path[len(path)-1] = "["
				}
				continue
			}
			path = path[:len(path)-1]
		case string:
			if expectKey {
				key, expectKey = token, false
				continue
			}
			switch strings.Join(append(path[min(1, len(path)):len(path):len(path)], key), ".") {
			case "kind":
				p.Kind = token
			case "metadata.name":
				p.Name = token
			case "metadata.namespace":
				p.Namespace = token
			}
		}
		// A value is complete; in an object a key follows.
		expectKey = len(path) > 0 && path[len(path)-1] != "["
	}
}

func uid(m *meta) types.UID { return types.UID(m.UID) }
