package recommender

import (
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".gz") {
		_, err = f.WriteString(text)
	} else {
		z := gzip.NewWriter(f)
		_, err = z.Write([]byte(text))
		err = errors.Join(err, z.Close())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderOfTracesIsReadInEitherFormat(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "minutes.csv"), "day,pod,workload,ts,cpu_m,mem_mi\nd,p,w,60,1,1\n")
	write(t, filepath.Join(folder, "windows.csv.gz"), "interval_start,workload,container_name,cpu_usage_container_avg,cpu_usage_container_min,cpu_usage_container_max,"+
		"memory_usage_container_avg,memory_usage_container_min,memory_usage_container_max\n2023-03-15 13:00:01 +0000 UTC,w,c,1,1,1,1,1,1\n")
	write(t, filepath.Join(folder, "limits.csv"), "pod,limit\np,1\n")
	write(t, filepath.Join(folder, "notes.txt"), "no traces")
	cases, skipped, err := ReadFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]int{}
	for _, c := range cases {
		samples[c.Name] = len(c.Traces[0].Samples)
	}
	if d := cmp.Diff(map[string]int{"minutes": 1, "windows": 15}, samples); d != "" {
		t.Error(d)
	}
	if len(skipped) != 1 || !strings.Contains(skipped[0], "limits.csv has neither format") {
		t.Errorf("skipped %q", skipped)
	}
}

func TestAFolderWithoutTracesIsSaidToHaveNone(t *testing.T) {
	if _, _, err := ReadFolder(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, found, err := StandardCases(t.TempDir()); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

// data is beside the repository in CI.
const data = "../../../../shared/data"

func TestOnRealTracesOursReservesLessThanVPAAtNoMoreViolations(t *testing.T) {
	cases, found, err := StandardCases(filepath.FromSlash(data))
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Skipf("SKIPPED: real traces are not there: %s", data)
	}
	all := Settings()
	few := slices.DeleteFunc(slices.Clone(all), func(s Setting) bool {
		return !slices.Contains([]string{settingDefault, settingNoFloors, "following-3h"}, s.Name)
	})
	var rows []Row
	for _, c := range cases {
		settings := all
		switch c.Name {
		case caseAll, caseHeldOut:
		case caseLeaks, caseKruize:
			settings = few
		default:
			continue
		}
		more, err := Quality(c, settings)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, more...)
	}
	for _, c := range []string{caseAll, caseHeldOut, caseKruize} {
		for setting, least := range map[string]float64{settingDefault: 0.18, settingNoFloors: 0.10} {
			peer, _ := find(rows, c, VPA, setting)
			if saving, note := atRates(rows, c, peer); saving < least {
				t.Errorf("%s: %.1f%% less than VPA %s (%s), want %.0f%%", c, 100*saving, setting, note, 100*least)
			}
		}
		ours, _ := find(rows, c, Supercargo, settingDefault)
		peer, _ := find(rows, c, VPA, settingDefault)
		if *ours.CPUViolationRate > *peer.CPUViolationRate || *ours.MemoryViolationRate > *peer.MemoryViolationRate || ours.Ratio() > peer.Ratio() {
			t.Errorf("%s: by default %.3f with %.5f and %.5f of minutes above, VPA %.3f with %.5f and %.5f", c,
				ours.Ratio(), *ours.CPUViolationRate, *ours.MemoryViolationRate, peer.Ratio(), *peer.CPUViolationRate, *peer.MemoryViolationRate)
		}
		for _, r := range rows {
			if r.Case == c && r.Engine == Hindsight && r.Setting == hindsightSetting(hindsightHalfHourly, settingDefault) && (r.Ratio() < 1 || r.Ratio() >= ours.Ratio()) {
				t.Errorf("%s: in hindsight %.3f is the least, by default %.3f are reserved", c, r.Ratio(), ours.Ratio())
			}
		}
	}
	for _, r := range rows {
		if r.Case == caseLeaks && r.Engine == Supercargo && r.Setting == settingDefault && *r.OOMsCaused > 0 {
			t.Errorf("%d OOM kills were caused", *r.OOMsCaused)
		}
	}
}
