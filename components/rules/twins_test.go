package rules_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// found is a pattern or a limit of a package, by where it stands.
type found struct{ at, dir, name, value string }

// source reads the patterns and the named numbers of components/ and stacks/.
func source(t *testing.T) (patterns, limits []found) {
	t.Helper()
	files := token.NewFileSet()
	for _, root := range []string{"..", "../../stacks"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			where := func(n ast.Node) found { return found{at: files.Position(n.Pos()).String(), dir: filepath.Dir(path)} }
			ast.Inspect(file, func(n ast.Node) bool {
				if f, ok := pattern(n); ok {
					w := where(n)
					w.value = f
					patterns = append(patterns, w)
				}
				g, ok := n.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST {
					return true
				}
				for _, spec := range g.Specs {
					v := spec.(*ast.ValueSpec)
					for i, name := range v.Names {
						if i < len(v.Values) {
							if n, ok := number(v.Values[i]); ok {
								w := where(name)
								w.name, w.value = name.Name, n
								limits = append(limits, w)
							}
						}
					}
				}
				return true
			})
			return nil
		}))
	}
	require.NotEmpty(t, patterns)
	require.NotEmpty(t, limits)
	return patterns, limits
}

// pattern is the argument of regexp.MustCompile, joined where it is a sum.
func pattern(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) != 1 {
		return "", false
	}
	if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "MustCompile" {
		return "", false
	}
	return text(call.Args[0])
}

func text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		a, okA := text(e.X)
		b, okB := text(e.Y)
		return a + b, okA && okB
	}
	return "", false
}

// number is the value of a number that is written out.
func number(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.INT {
		return "", false
	}
	return constant.MakeFromLiteral(l.Value, l.Kind, 0).ExactString(), true
}

// others are values of rules that one package alone has.
var others = []string{"arn:aws:s3:::bucket/key", "arn:aws:iam::111122223333:role/x", "arn:aws:kms:eu-central-1:111122223333:key/1",
	"arn:aws:ssm:eu-central-1:111122223333:parameter/x", "https://oidc.example.com", "s3:GetObject", "aws:SourceIp", "StringEquals", "Gate=true"}

// TestNoRuleTwice finds patterns of two packages that tell the samples of the
// rules apart in the same way, and limits of two packages that have one name. Such
// twins drift: one of them is mended, and the other goes on refusing what AWS
// takes, or taking what it refuses.
func TestNoRuleTwice(t *testing.T) {
	patterns, limits := source(t)
	values := slices.Clone(others)
	for _, s := range samples {
		values = append(values, s.good...)
	}
	slices.Sort(values)
	values = slices.Compact(values)
	// A pattern that takes samples of many rules is no rule of one of them.
	const telling = 8
	same := map[string]found{}
	for _, p := range patterns {
		compiled, err := regexp.Compile(p.value)
		require.NoError(t, err, p.at)
		var takes []string
		for _, v := range values {
			if compiled.MatchString(v) {
				takes = append(takes, v)
			}
		}
		if len(takes) == 0 || len(takes) > telling {
			takes = []string{p.value} // by its own text alone
		}
		key := strings.Join(takes, " ")
		if other, ok := same[key]; ok && other.dir != p.dir {
			t.Errorf("%s and %s are one rule: %s and %s. Put it into components/rules, or use the other package's.", other.at, p.at, other.value, p.value)
		}
		same[key] = p
	}
	named := map[string]found{}
	for _, l := range limits {
		key := strings.ToLower(l.name)
		if other, ok := named[key]; ok && other.dir != l.dir {
			t.Errorf("%s and %s are one limit: %s = %s and %s = %s. Put it into components/rules, or use the other package's.",
				other.at, l.at, other.name, other.value, l.name, l.value)
		}
		named[key] = l
	}
}
