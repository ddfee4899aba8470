package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k3s-aws-auth/scripts/review/internal/impact"
)

// TestEveryTypeHasAnOpinion: the program registers no type of which the review does not know what it can give to whom. The
// types are those of the program's recorded graphs, and of every constructor that its code calls.
func TestEveryTypeHasAnOpinion(t *testing.T) {
	root := filepath.Join("..", "..")
	graphs, err := filepath.Glob(filepath.Join(root, "stacks", "testdata", "*.golden"))
	if err != nil || len(graphs) == 0 {
		t.Fatalf("no recorded graphs: %v", err)
	}
	types := map[string]string{} // type → where
	for _, file := range graphs {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			if name, _, ok := strings.Cut(line, " "); ok && strings.Contains(name, ":") {
				types[name] = file
			}
		}
	}
	for name, file := range types {
		if !impact.HasOpinion(name, !strings.HasPrefix(name, "k3s-aws-auth:")) {
			t.Errorf("%s (%s): say in impact/types.go or impact/kubernetes.go what it can give to whom", name, file)
		}
	}
	// What only some configuration makes is in no recorded graph.
	call := regexp.MustCompile(`\b(acm|cloudcontrol|cloudfront|cloudwatch|ec2|iam|kms|lb|rolesanywhere|route53|s3|sns|sqs|ssm|vpc|tls|corev1|appsv1|rbacv1|policyv1|batchv1|networkingv1|admissionregistrationv1\w*)\.New([A-Z]\w+)\(ctx`)
	found := 0
	for _, dir := range []string{"components", "stacks"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range call.FindAllStringSubmatch(string(data), -1) {
				found++
				if !impact.KnowsConstructor(m[1], m[2]) {
					t.Errorf("%s makes a %s.%s: say in impact/types.go or impact/kubernetes.go what it can give to whom", path, m[1], m[2])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 50 {
		t.Errorf("only %d constructors found: the pattern no longer fits the code", found)
	}
	if impact.HasOpinion("aws:lambda/function:Function", true) || impact.KnowsConstructor("ec2", "NoSuchThing") || impact.HasOpinion("kubernetes:example.com/v1:Thing", true) {
		t.Error("every type has an opinion: this test cannot fail")
	}
}
