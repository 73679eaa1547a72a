package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type row struct {
	Name string  `json:"name"`
	N    int     `json:"n"`
	V    float64 `json:"v"`
}

var rows = []row{{"a", 20000, 1.25}, {"long|name", 7, 0.5}}

var table = Table[row]{
	{Name: "name", Left: true, Cell: func(r row) string { return r.Name }},
	{Name: "n", Cell: func(r row) string { return Int(r.N) }},
	{Name: "µ", Cell: func(r row) string { return Float(r.V, 1) }},
}

func TestQuantilesInterpolateBetweenNeighbours(t *testing.T) {
	for name, tc := range map[string]struct {
		values []float64
		q      float64
		want   float64
	}{
		"the median of an odd number is the middle":           {[]float64{5, 1, 3}, 0.5, 3},
		"the median of an even number is the mean of the two": {[]float64{4, 1, 3, 2}, 0.5, 2.5},
		"the lowest":  {[]float64{4, 1}, 0, 1},
		"the highest": {[]float64{4, 1}, 1, 4},
		"a quantile between two values lies between the two":   {[]float64{0, 10}, 0.9, 9},
		"one value is each of its quantiles":                   {[]float64{2}, 0.99, 2},
		"a quantile above 1 is the highest instead of a panic": {[]float64{2, 3}, 1.5, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Quantile(tc.values, tc.q); math.Abs(got-tc.want) > 1e-12 {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v, want NaN", got)
	}
}

func TestMedianByReturnsARunThatTookPlace(t *testing.T) {
	runs := []row{{"slow", 9, 0}, {"fast", 1, 0}, {"middle", 5, 0}, {"slower", 10, 0}}
	if got := MedianBy(runs, func(r row) int { return r.N }).Name; got != "middle" {
		t.Errorf("got %q, want the lower of the two in the middle", got)
	}
}

func TestNumbersAreShownForReaders(t *testing.T) {
	for want, got := range map[string]string{
		"0": Int(0), "999": Int(999), "1,000": Int(1000), "-20,000": Int(-20000), "1,234,567": Int(int64(1234567)),
		"1.20": Float(1.2, 2), None: Float(math.Inf(1), 2),
		"12.3": Significant(12.34), "0.00123": Significant(0.0012345), "41,700": Significant(41700.4), "123": Significant(123.4),
		"250 µs": Seconds(0.00025), "12.3 ms": Duration(12340 * time.Microsecond), "1.50 s": Seconds(1.5),
		"512 B": Bytes(512), "1.00 KiB": Bytes(1024), "407 MiB": Bytes(407 << 20), "-2.00 KiB": Bytes(-2048),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTableIsAlignedForATerminal(t *testing.T) {
	var out bytes.Buffer
	if err := table.Text(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := "name            n    µ\n" +
		"a          20,000  1.2\n" +
		"long/name       7  0.5\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTableIsMarkdownWithAlignment(t *testing.T) {
	want := "| name      |      n |   µ |\n" +
		"|:----------|-------:|----:|\n" +
		"| a         | 20,000 | 1.2 |\n" +
		"| long/name |      7 | 0.5 |\n"
	if diff := cmp.Diff(want, table.Markdown(rows)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONIsAnArrayWithOneRowPerLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "bench", "rows.json")
	if err := WriteJSON(path, rows); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "\n"); got != 4 {
		t.Errorf("%d lines, want one per row and two for the brackets:\n%s", got, text)
	}
	var got []row
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rows, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoRowsAreAnEmptyArray(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := WriteJSON[row](path, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []row
	if err := json.Unmarshal(text, &got); err != nil || got == nil {
		t.Errorf("read %v, %v from %q, want an empty array", got, err, text)
	}
}

func TestARowThatJSONCannotHoldLeavesTheFormerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := WriteJSON(path, rows); err != nil {
		t.Fatal(err)
	}
	err := WriteJSON(path, []row{{"nan", 0, math.NaN()}})
	if err == nil || !strings.Contains(err.Error(), "row 0") {
		t.Errorf("got %v, want an error that names row 0", err)
	}
	var got []row
	text, _ := os.ReadFile(path)
	if err := json.Unmarshal(text, &got); err != nil || len(got) != 2 {
		t.Errorf("the former file is gone: %s", text)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files, want no litter", len(files))
	}
}

func TestABlockReplacesOnlyWhatIsBetweenItsMarks(t *testing.T) {
	page := "# Head\n<!-- begin generated: a -->\nold\n<!-- end generated: a -->\ntail\n<!-- begin generated: b -->\n<!-- end generated: b -->\n"
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there already
		if err := WriteBlock(path, "a", "\nnew\n\nlines\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(page, "old", "new\n\nlines", 1), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABlockWithoutItsMarksIsRefused(t *testing.T) {
	begin, end := marks("a")
	for name, tc := range map[string]struct{ page, content string }{
		"no marks":                {"text", "x"},
		"no end":                  {begin, "x"},
		"twice":                   {begin + end + begin + end, "x"},
		"in the wrong order":      {end + begin, "x"},
		"content that has a mark": {begin + end, "x" + end},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := replaceBlock(tc.page, "a", tc.content); err == nil {
				t.Errorf("got %q, want an error", got)
			}
		})
	}
}

func TestABarIsMetOnTheRightSideOfItsLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		bar  Bar
		want string
	}{
		"at least, above":            {Bar{Limit: 20, AtLeast: true, Got: 21}, "met"},
		"at least, below":            {Bar{Limit: 20, AtLeast: true, Got: 19}, "MISSED"},
		"at most, equal":             {Bar{Limit: 12, Got: 12}, "met"},
		"at most, above":             {Bar{Limit: 12, Got: 12.1}, "MISSED"},
		"what was not measured":      {Bar{Limit: 12, Got: math.NaN()}, "not measured"},
		"a bar of 0 that is reached": {Bar{Limit: 0, Got: 0}, "met"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.bar.Verdict(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMachineNamesProcessorAndNoHost(t *testing.T) {
	m := ThisMachine(time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC))
	if m.CPU == "" || m.Cores < 1 || m.Go == "" || m.Date != "2026-11-21" {
		t.Errorf("got %+v", m)
	}
	if host, err := os.Hostname(); err == nil && len(host) > 3 && strings.Contains(m.String(), host) {
		t.Errorf("%q names the host", m)
	}
}

func TestPlotsAreSVG(t *testing.T) {
	folder := t.TempDir()
	for name, draw := range map[string]func(string) error{
		"curves": Plot{Title: "t", X: "x", Y: "y", LogX: true, LogY: true, Curves: []Curve{
			{Name: "one", Points: []Point{{1, 2}, {10, 30}}}, {Name: "two", Points: []Point{{1, 5}, {100, 6}}},
		}}.WriteSVG,
		"columns": Columns{Title: "t", Y: "y", Base: 1, Line: 1.01, Series: []string{"one", "two"}, Groups: []Group{
			{"a", []float64{1.1, 1.2}}, {"b", []float64{1.05, math.NaN()}},
		}}.WriteSVG,
	} {
		path := filepath.Join(folder, name+".svg")
		if err := draw(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(bytes.NewReader(text))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s is not XML: %v", name, err)
			}
		}
		if !bytes.Contains(text, []byte("one")) || !bytes.Contains(text, []byte("two")) {
			t.Errorf("%s has no legend", name)
		}
	}
}

func TestAPlotRefusesWhatItsAxisCannotShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.svg")
	for name, p := range map[string]Plot{
		"zero on a logarithmic axis": {LogY: true, Curves: []Curve{{Points: []Point{{1, 0}}}}},
		"not a number":               {Curves: []Curve{{Points: []Point{{1, math.NaN()}}}}},
	} {
		if err := p.WriteSVG(path); err == nil {
			t.Errorf("%s was drawn", name)
		}
	}
	if err := (Columns{Series: []string{"a", "b"}, Groups: []Group{{"g", []float64{1}}}}).WriteSVG(path); err == nil {
		t.Error("a group with too few values was drawn")
	}
}
