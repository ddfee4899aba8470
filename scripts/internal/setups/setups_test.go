package setups

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var project = filepath.Join("..", "..", "..")

// TestLoad reads this project's own setups, and says of a file that it cannot read which one that is.
func TestLoad(t *testing.T) {
	list, err := Load(project)
	require.NoError(t, err)
	around, err := Around()
	require.NoError(t, err)
	require.Equal(t, list, around)
	require.Contains(t, list.Names(), "irsa-s3")
	anywhere, ok := list.Find("roles-anywhere")
	require.True(t, ok)
	require.Equal(t, Setup{Name: "roles-anywhere", Presents: Certificate, Issuer: Nowhere, OwnRoles: true, SourceIdentity: true, SessionName: CertificateSerial}, anywhere)
	_, ok = list.Find("none")
	require.False(t, ok)
	_, err = list.Get("none")
	require.EqualError(t, err, `setup: found "none": must be one of `+strings.Join(list.Names(), ", "))
	_, err = list.Choose("none")
	require.EqualError(t, err, `--setup: found "none": must be one of `+strings.Join(list.Names(), ", ")+" or all")
	all, err := list.Choose(All)
	require.NoError(t, err)
	require.Equal(t, list, all)
	require.Equal(t, []int{1, len(list)}, []int{list.Rank("irsa-s3"), list.Rank("none")})
	names := list.Names()
	require.Subset(t, list.Where(Setup.PresentsToken).Names(), []string{"irsa-s3", "irsa-cloudfront"})
	require.NotContains(t, list.Where(Setup.PresentsToken).Names(), "roles-anywhere")
	require.Equal(t, names, list.Names(), "Where changes nothing")

	_, err = Load(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(toy(t, "{"))
	require.ErrorContains(t, err, "setups.json")
}

// toy is a project with a list of setups of its own.
func toy(t *testing.T, list string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "stacks"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stacks", "setups.json"), []byte(list), 0o600))
	return dir
}

// TestFifthSetup reads a setup that is made of facts that tools know, and refuses by its name one that is not: nothing
// that a tool does not know becomes one of the things that it knows.
func TestFifthSetup(t *testing.T) {
	list, err := Load(toy(t, `[{"name":"toy","presents":"certificate","issuer":"none","ownRoles":false,"sourceIdentity":true,"sessionName":"certificate-serial"}]`))
	require.NoError(t, err)
	require.True(t, list[0].PresentsCertificate() && list[0].ShutsMetadata())
	require.False(t, list[0].PresentsToken() || list[0].PresentsMetadata() || list[0].IssuerIsBucket() || list[0].IssuerIsDistribution())

	for text, says := range map[string][]string{
		`[{"name":"toy","presents":"passkey","issuer":"dns","sessionName":"x"}]`: {
			`setup toy: presents: found "passkey": must be one of instance-metadata, service-account-token, certificate`,
			`setup toy: issuer: found "dns": must be one of none, bucket, distribution`,
			`setup toy: sessionName: found "x": must be one of instance-id, service-account, certificate-serial`},
		`[{"name":"old","presents":"certificate"}]`:                                                           {`setup old: issuer: found "": must be`},
		`[{"name":"toy","presents":"service-account-token","issuer":"none","sessionName":"service-account"}]`: {`tokens, and they alone, have an issuer`},
		`[{"name":"toy","presents":"certificate","issuer":"bucket","sessionName":"certificate-serial"}]`:      {`tokens, and they alone, have an issuer`},
	} {
		_, err := Load(toy(t, text))
		for _, s := range says {
			require.ErrorContains(t, err, s)
		}
	}
}

// spelled are the files outside of stacks that may spell a setup's name, with what for.
var spelled = map[string]string{
	"scripts/lab/command/scale.go":             "the default of --setup",
	"scripts/lab/command/up.go":                "the default of --setup",
	"scripts/upgrade/main.go":                  "the default of --setup",
	"scripts/review/internal/recorder/main.go": "chooses the setup of each recorded preview",
	"scripts/review/internal/impact/paths.go":  "IAM's instance profiles, whose ARNs have the same word",
	"scripts/lab/internal/gate/iamservice.go":  "IAM's instance profiles, whose ARNs have the same word",
	"scripts/internal/account/analyze.go":      "a finding about IAM's instance profiles",
	"scripts/lab/internal/gate/iamprofiles.go": "IAM's instance profiles, whose ARNs have the same word",
}

// TestNobodySpellsASetup finds the next file that decides by a setup's name, or by how it begins: it is to ask for a fact.
func TestNobodySpellsASetup(t *testing.T) {
	list, err := Load(project)
	require.NoError(t, err)
	found := map[string]bool{}
	require.NoError(t, filepath.WalkDir(project, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := filepath.Rel(project, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); file == "stacks" || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != "." && name != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			word, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			for _, s := range list {
				if word == s.Name || strings.HasSuffix(word, "-") && strings.HasPrefix(s.Name, word) {
					found[filepath.ToSlash(file)] = true
					if spelled[filepath.ToSlash(file)] == "" {
						t.Errorf("%s spells %q: decide by a fact of stacks/setups.json", file, word)
					}
				}
			}
			return true
		})
		return nil
	}))
	for file := range spelled {
		require.True(t, found[file], "%s spells no setup any more: take it off the list", file)
	}
}
