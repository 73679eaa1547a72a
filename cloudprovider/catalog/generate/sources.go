package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// module is what `go mod download -json` says of a module.
type module struct {
	Path, Version, Sum, Dir, Info string
}

func download(path, version string) (module, error) {
	cmd := exec.Command("go", "mod", "download", "-json", path+"@"+version)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return module{}, fmt.Errorf("downloading %s@%s, %w", path, version, err)
	}
	var m module
	if err := json.Unmarshal(out, &m); err != nil {
		return module{}, fmt.Errorf("reading what go mod download said of %s, %w", path, err)
	}
	return m, nil
}

// date is the commit date of the module's version, YYYY-MM-DD; "" when the proxy gave none.
func (m module) date() string {
	var info struct{ Time time.Time }
	data, err := os.ReadFile(m.Info)
	if err != nil || json.Unmarshal(data, &info) != nil {
		return ""
	}
	return info.Time.UTC().Format(time.DateOnly)
}

// priceList is the on-demand prices of one region in USD per hour, and the day they were read.
type priceList struct {
	date string
	usd  map[string]string
}

var generatedAt = regexp.MustCompile(`generated at (\d{4}-\d{2}-\d{2})`)

// readPrices reads Karpenter's static on-demand prices. The Chinese regions are left out: their list is in CNY.
func readPrices(dir string) (map[string]priceList, error) {
	all := map[string]priceList{}
	for _, name := range []string{"zz_generated.pricing_aws.go", "zz_generated.pricing_aws_us_gov.go"} {
		file := filepath.Join(dir, "pkg/providers/pricing", name)
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		date := ""
		if m := generatedAt.FindSubmatch(src); m != nil {
			date = string(m[1])
		}
		lit, err := mapLiteral(file, src)
		if err != nil {
			return nil, err
		}
		for region, value := range lit {
			list := priceList{date: date, usd: map[string]string{}}
			types, err := entries(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", region, err)
			}
			for name, v := range types {
				price, ok := v.(*ast.BasicLit)
				if !ok {
					return nil, fmt.Errorf("%s %s: price is not a literal", region, name)
				}
				list.usd[name] = price.Value
			}
			all[region] = list
		}
	}
	return all, nil
}

// vpcLimits are the network interface limits of a type, of its default network card.
type vpcLimits struct {
	interfaces, ips int
	hypervisor      string
	bareMetal       bool
}

func readLimits(dir string) (map[string]vpcLimits, error) {
	file := filepath.Join(dir, "pkg/providers/instancetype/zz_generated.vpclimits.go")
	lit, err := mapLiteralFile(file)
	if err != nil {
		return nil, err
	}
	all := make(map[string]vpcLimits, len(lit))
	for name, value := range lit {
		l, err := readLimit(value)
		if err != nil {
			return nil, fmt.Errorf("limits of %s, %w", name, err)
		}
		all[name] = l
	}
	return all, nil
}

func readLimit(value ast.Expr) (vpcLimits, error) {
	fields, err := fieldsOf(value)
	if err != nil {
		return vpcLimits{}, err
	}
	l := vpcLimits{interfaces: integer(fields["Interface"]), ips: integer(fields["IPv4PerInterface"]), bareMetal: name(fields["IsBareMetal"]) == "true"}
	if h, ok := fields["Hypervisor"].(*ast.BasicLit); ok {
		if l.hypervisor, err = strconv.Unquote(h.Value); err != nil {
			return vpcLimits{}, err
		}
	}
	// Pods get addresses from the default network card only, as Karpenter's ENILimitedPods counts.
	if cards, ok := fields["NetworkCards"].(*ast.CompositeLit); ok {
		if i := integer(fields["DefaultNetworkCardIndex"]); i < len(cards.Elts) {
			card, err := fieldsOf(cards.Elts[i])
			if err != nil {
				return vpcLimits{}, err
			}
			l.interfaces = integer(card["MaximumNetworkInterfaces"])
		}
	}
	return l, nil
}

func readBandwidth(dir string) (map[string]int, error) {
	lit, err := mapLiteralFile(filepath.Join(dir, "pkg/providers/instancetype/zz_generated.bandwidth.go"))
	if err != nil {
		return nil, err
	}
	all := make(map[string]int, len(lit))
	for name, v := range lit {
		all[name] = integer(v)
	}
	return all, nil
}

func mapLiteralFile(file string) (map[string]ast.Expr, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return mapLiteral(file, src)
}

// mapLiteral returns the entries of the map literals that a file's variables hold.
func mapLiteral(file string, src []byte) (map[string]ast.Expr, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	all := map[string]ast.Expr{}
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, v := range spec.(*ast.ValueSpec).Values {
				e, err := entries(v)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
				maps.Copy(all, e)
			}
		}
	}
	return all, nil
}

func entries(e ast.Expr) (map[string]ast.Expr, error) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil, fmt.Errorf("%T where a map literal was expected", e)
	}
	all := make(map[string]ast.Expr, len(lit.Elts))
	for _, elt := range lit.Elts {
		kv, ok := elt.(*ast.KeyValueExpr)
		if !ok {
			return nil, fmt.Errorf("%T where a key and a value were expected", elt)
		}
		key, ok := kv.Key.(*ast.BasicLit)
		if !ok {
			return nil, fmt.Errorf("%T where a key literal was expected", kv.Key)
		}
		k, err := strconv.Unquote(key.Value)
		if err != nil {
			return nil, err
		}
		all[k] = kv.Value
	}
	return all, nil
}

func fieldsOf(e ast.Expr) (map[string]ast.Expr, error) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil, fmt.Errorf("%T where a struct literal was expected", e)
	}
	all := map[string]ast.Expr{}
	for _, elt := range lit.Elts {
		if kv, ok := elt.(*ast.KeyValueExpr); ok {
			all[name(kv.Key)] = kv.Value
		}
	}
	return all, nil
}

func name(e ast.Expr) string {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

func integer(e ast.Expr) int {
	if lit, ok := e.(*ast.BasicLit); ok {
		if n, err := strconv.Atoi(lit.Value); err == nil {
			return n
		}
	}
	return 0
}
