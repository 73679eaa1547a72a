// Package docs_test checks what the documentation claims.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link is a Markdown link to something in the repository.
var link = regexp.MustCompile(`\[([^\]]*)\]\(([^)#:]+)(?:#[^)]*)?\)`)

// pages are the Markdown files that users read.
func pages(t *testing.T) []string {
	t.Helper()
	inDocs, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(inDocs, filepath.Join("..", "README.md"))
}

func TestEveryLinkedTestExists(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range link.FindAllStringSubmatch(string(content), -1) {
			text, target := match[1], filepath.Join(filepath.Dir(page), match[2])
			code, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr != nil {
				t.Errorf("%s links %s, which does not exist", page, match[2])
				continue
			} else if info.IsDir() {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(text, "Test") {
				found++
				if !strings.Contains(string(code), "func "+text+"(") {
					t.Errorf("%s says that %s is in %s, and it is not", page, text, match[2])
				}
			}
		}
	}
	if found == 0 {
		t.Error("no page links a test")
	}
}

// TestEveryLinkedHeadingExists: a link to a part of a page leads to a heading of it, by the anchors that GitHub makes of headings.
func TestEveryLinkedHeadingExists(t *testing.T) {
	anchored := regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.+)$`)
	mark := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	found := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range anchored.FindAllStringSubmatch(string(content), -1) {
			target := page
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(page), match[1])
			}
			text, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s links %s: %v", page, match[1], err)
				continue
			}
			found++
			anchors := map[string]bool{}
			for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
				anchors[strings.ReplaceAll(mark.ReplaceAllString(strings.ToLower(strings.TrimSpace(h[1])), ""), " ", "-")] = true
			}
			if !anchors[match[2]] {
				t.Errorf("%s links #%s of %s, which has no such heading", page, match[2], target)
			}
		}
	}
	if found == 0 {
		t.Error("no page links a heading")
	}
}

func TestEveryMakeTargetThatIsNamedExists(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`make ([a-z][a-z0-9-]*)")
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllStringSubmatch(string(content), -1) {
			if !regexp.MustCompile(`(?m)^` + match[1] + `:`).Match(makefile) {
				t.Errorf("%s names `make %s`, which the Makefile does not have", page, match[1])
			}
		}
	}
}
