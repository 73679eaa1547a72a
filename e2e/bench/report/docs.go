package report

import (
	"fmt"
	"os"
	"strings"
)

// marks are the lines around a generated part of a page; they do not show when the page is rendered.
func marks(name string) (begin, end string) {
	return "<!-- begin generated: " + name + " -->", "<!-- end generated: " + name + " -->"
}

// WriteBlock puts content between the marks of a name in a page, in one step:
//
//	<!-- begin generated: packing -->
//	<!-- end generated: packing -->
//
// What is outside them stays as it is. A page without both marks, in this order, once each, is an error.
func WriteBlock(path, name, content string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the page for block %q, %w", name, err)
	}
	text, err := replaceBlock(string(page), name, content)
	if err != nil {
		return fmt.Errorf("writing block %q of %s, %w", name, path, err)
	}
	return WriteFile(path, []byte(text))
}

func replaceBlock(page, name, content string) (string, error) {
	begin, end := marks(name)
	for _, mark := range []string{begin, end} {
		if n := strings.Count(page, mark); n != 1 {
			return "", fmt.Errorf("the page has %d times the line %q, want once", n, mark)
		}
		if strings.Contains(content, mark) {
			return "", fmt.Errorf("the content itself has the mark %q", mark)
		}
	}
	head, rest, _ := strings.Cut(page, begin)
	_, tail, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("the line %q comes before %q", end, begin)
	}
	return head + begin + "\n" + strings.Trim(content, "\n") + "\n" + end + tail, nil
}
