//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestCgroupsAreReadAsTheRequestsAndLimitsThatTheyStandFor(t *testing.T) {
	for _, tc := range []struct {
		name  string
		parse func(reader) (Cgroup, error)
		files map[string]string
		want  Cgroup
	}{
		{
			name: "version 1 with limits", parse: cgroupV1,
			files: map[string]string{
				"cpu/cpu.shares": "112", "cpu/cpu.cfs_quota_us": "22000", "cpu/cpu.cfs_period_us": "100000",
				"memory/memory.limit_in_bytes": "230686720", "memory/memory.usage_in_bytes": "50000000",
				"memory/memory.stat": "cache 1\ninactive_file 7\ntotal_inactive_file 10000000", "cpuacct/cpuacct.usage": "1500000000",
			},
			want: Cgroup{MilliCPURequest: 110, MilliCPULimit: 220, MemoryLimit: 220 << 20, CPUSeconds: 1.5, WorkingSet: 40000000},
		},
		{
			name: "version 1 without limits", parse: cgroupV1,
			files: map[string]string{
				"cpu/cpu.shares": "2", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000",
				"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "1",
				"memory/memory.stat": "total_inactive_file 2", "cpuacct/cpuacct.usage": "0",
			},
			want: Cgroup{MilliCPURequest: 2},
		},
		{
			name: "version 2 with limits", parse: cgroupV2,
			files: map[string]string{
				"cpu/cpu.weight": "39", "cpu/cpu.max": "50000 100000", "cpu/cpu.stat": "usage_usec 2500000\nuser_usec 1",
				"memory/memory.max": "104857600", "memory/memory.current": "60000000", "memory/memory.stat": "anon 1\ninactive_file 20000000",
			},
			want: Cgroup{MilliCPURequest: 974, MilliCPULimit: 500, MemoryLimit: 100 << 20, CPUSeconds: 2.5, WorkingSet: 40000000},
		},
		{
			name: "version 2 without limits", parse: cgroupV2,
			files: map[string]string{
				"cpu/cpu.weight": "1", "cpu/cpu.max": "max 100000", "cpu/cpu.stat": "usage_usec 0",
				"memory/memory.max": "max", "memory/memory.current": "0", "memory/memory.stat": "inactive_file 0",
			},
			want: Cgroup{MilliCPURequest: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read := func(controller, file string) (string, error) {
				content, ok := tc.files[controller+"/"+file]
				if !ok {
					return "", fs.ErrNotExist
				}
				return content, nil
			}
			got, err := tc.parse(read)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for gone := range tc.files {
				_, err := tc.parse(func(controller, file string) (string, error) {
					if controller+"/"+file == gone {
						return "", fs.ErrNotExist
					}
					return read(controller, file)
				})
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("without %s: %v", gone, err)
				}
			}
		})
	}
}

func TestMountsAreReadAndOrderedForUnmounting(t *testing.T) {
	text := strings.Join([]string{
		`27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard`,
		`40 27 0:40 / /home/a rw shared:1 - overlay overlay rw,lowerdir=/x`,
		`41 40 0:41 / /home/a/with\040space rw - tmpfs shm rw,size=64k`,
		`42 27 0:42 / /home/ab rw - tmpfs tmpfs rw`,
	}, "\n")
	mounts, err := parseMounts(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/home/a/with space", "/home/a"}, below(mounts, "/home/a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := parseMounts(strings.NewReader("no mount")); err == nil {
		t.Error("a line that is no mount is accepted")
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(`27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard`)
	f.Add(`41 40 0:41 / /a\040b\134 rw - tmpfs shm rw`)
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := parseMounts(strings.NewReader(text))
		if err != nil && mounts != nil {
			t.Error("mounts beside an error")
		}
	})
}

func TestTheVersionOfCgroupsIsThatWithTheControllers(t *testing.T) {
	v1 := func(controllers ...string) (mounts []mount) {
		for _, c := range controllers {
			mounts = append(mounts, mount{"/sys/fs/cgroup/" + c, "cgroup", "rw," + c})
		}
		return mounts
	}
	for _, tc := range []struct {
		name        string
		mounts      []mount
		wantUnified bool
		wantErr     bool
	}{
		{name: "version 1", mounts: v1("cpu", "cpuacct", "cpuset", "memory", "pids")},
		{name: "version 1 with version 2 beside it", mounts: append(v1("cpu", "cpuacct", "cpuset", "memory", "pids"), mount{"/sys/fs/cgroup/unified", "cgroup2", "rw"})},
		{name: "version 2", mounts: []mount{{"/sys/fs/cgroup", "cgroup2", "rw,nsdelegate"}}, wantUnified: true},
		{name: "version 1 without what the kubelet needs", mounts: v1("cpu", "memory"), wantErr: true},
		{name: "none", wantErr: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := findCgroups(tc.mounts)
			if (err != nil) != tc.wantErr {
				t.Fatal(err)
			}
			if err == nil && got.unified != tc.wantUnified {
				t.Errorf("unified is %t", got.unified)
			}
		})
	}
}

// TestImagesAreWhatContainerdImports checks the archive's inner references; that containerd takes it is seen when a node starts.
func TestImagesAreWhatContainerdImports(t *testing.T) {
	var out bytes.Buffer
	if err := writeImages(&out, []byte("program"), images()...); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, out.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, m := range manifest {
		tags = append(tags, m.RepoTags...)
		var config struct {
			Rootfs struct {
				DiffIDs []string `json:"diff_ids"`
			} `json:"rootfs"`
		}
		if err := json.Unmarshal(files[m.Config], &config); err != nil {
			t.Fatalf("%s: %v", m.Config, err)
		}
		if want := "sha256:" + digest(files[m.Layers[0]]); len(config.Rootfs.DiffIDs) != 1 || config.Rootfs.DiffIDs[0] != want {
			t.Errorf("%s: layers %v, want %s", m.Config, config.Rootfs.DiffIDs, want)
		}
		if m.Config != digest(files[m.Config])+".json" {
			t.Errorf("%s is not named by its content", m.Config)
		}
		if got := string(unpack(t, files[m.Layers[0]])["workload"]); got != "program" {
			t.Errorf("the layer holds %q", got)
		}
	}
	if diff := cmp.Diff([]string{WorkloadImage, pauseImage}, tags); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func unpack(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatTheNodeDoesNotOfferIsReserved(t *testing.T) {
	capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")}
	for _, tc := range []struct {
		name       string
		settings   Settings
		want       map[string]string
		wantForced []string
		wantErr    bool
	}{
		{
			name: "a part of the machine", settings: Settings{MilliCPU: 1500, Memory: 2 << 30},
			want: map[string]string{"cpu": "2500m", "memory": "6Gi"}, wantForced: []string{"none"},
		},
		{name: "all of the machine", settings: Settings{MilliCPU: 4000, Memory: 8 << 30}, want: map[string]string{}, wantForced: []string{"none"}},
		{
			name: "what eviction keeps free is no pod's", settings: Settings{MilliCPU: 4000, Memory: 1 << 30, EvictionThreshold: 1 << 30},
			want: map[string]string{"memory": "6Gi"}, wantForced: []string{"pods"},
		},
		{name: "more than the machine has", settings: Settings{MilliCPU: 4001, Memory: 1 << 30}, wantErr: true},
		{name: "the static CPU manager with nothing reserved", settings: Settings{MilliCPU: 4000, Memory: 1 << 30, StaticCPUManager: true}, wantErr: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.settings.configuration("/d", "/ca", 1, capacity, "/s")
			if (err != nil) != tc.wantErr {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tc.want, got.SystemReserved); diff != "" {
				t.Errorf("reserved (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantForced, got.EnforceNodeAllocatable); diff != "" {
				t.Errorf("enforced (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKernelSettingsArePutBack(t *testing.T) {
	root, file := t.TempDir(), filepath.Join(t.TempDir(), "saved")
	set := func(value string) {
		t.Helper()
		for _, name := range sysctls()[:2] { // the others are not to be had
			path := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(value), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := restoreSysctls(root, file); err != nil {
		t.Fatalf("before anything was saved: %v", err)
	}
	set("before")
	if err := saveSysctls(root, file); err != nil {
		t.Fatal(err)
	}
	set("changed")
	if err := restoreSysctls(root, file); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, sysctls()[0]))
	if err != nil || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
}

func TestMemoryOfTheMachine(t *testing.T) {
	if got, err := memTotal("MemTotal:       24684084 kB\nMemFree: 1 kB\n"); err != nil || got != 24684084<<10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, text := range []string{"", "MemTotal: many kB\n", "MemFree: 1 kB\n"} {
		if _, err := memTotal(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
