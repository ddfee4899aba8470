package outputs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"
)

// TestNobodyListsOutputs finds components that register their outputs by a list of
// their own, which stands beside the tags and drifts from them.
func TestNobodyListsOutputs(t *testing.T) {
	components := 0
	for _, root := range []string{"..", "../../stacks"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == "." || filepath.Base(filepath.Dir(path)) == "outputs" {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ends, registers := 0, 0
			ast.Inspect(file, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				switch selector.Sel.Name {
				case "RegisterComponentResource":
					registers++
				case "RegisterResourceOutputs":
					t.Errorf("%s lists its outputs: outputs.Register takes them from the tags", path)
				case "Register":
					ends++
				}
				return true
			})
			components += registers
			// A component whose end is in another file is the workload's.
			require.True(t, registers <= ends || strings.Contains(path, "workload"), "%s registers %d components and ends %d", path, registers, ends)
			return nil
		}))
	}
	require.Greater(t, components, 10)
}

func TestOutputsAreTheTags(t *testing.T) {
	type some struct {
		pulumi.ResourceState
		Name  pulumi.StringOutput `pulumi:"name"`
		Other pulumi.StringOutput // of the program alone
		Plain string
	}
	name := pulumi.String("x").ToStringOutput()
	outputs, err := of(&some{Name: name, Other: name})
	require.NoError(t, err)
	require.Equal(t, pulumi.Map{"name": name}, outputs)
	_, err = of(&some{})
	require.ErrorContains(t, err, "field Name of *outputs.some must be an output", "nobody has set it")

	type plain struct {
		pulumi.ResourceState
		Name string `pulumi:"name"`
	}
	_, err = of(&plain{Name: "x"})
	require.ErrorContains(t, err, "field Name of *outputs.plain must be an output")
}
