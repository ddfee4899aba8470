// Command generate rewrites the fact tables of the stand-in providers from schema.json beside them. Run it by
// `go generate ./lab/internal/standin/facts` in the scripts module; -schema names another file.
package main

import (
	"flag"
	"fmt"
	"os"

	"k3s-aws-auth/scripts/lab/internal/standin/facts/distill"
)

func main() {
	schema := flag.String("schema", "schema.json", "the schema facts to read")
	flag.Parse()
	if err := run(*schema); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(schema string) error {
	data, err := os.ReadFile(schema) // #nosec G304 -- the path is the caller's own argument
	if err != nil {
		return err
	}
	tables, err := distill.Tables(data)
	if err != nil {
		return err
	}
	for pkg, table := range tables {
		if err := os.WriteFile(pkg+".json", table, 0o644); err != nil { // #nosec G306 -- a source file
			return err
		}
	}
	return nil
}
