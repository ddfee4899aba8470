package main

import (
	"context"
	"fmt"
	"strings"
)

// operation is one API call that the client knows.
type operation struct {
	name       string   // as AWS names it
	required   []string // options that must be given
	optional   []string
	positional string // name of a required argument without option, "" where there is none
	call       func(context.Context, *command) (output, error)
}

// command is a parsed command line.
type command struct {
	operation *operation
	values    map[string]string
	argument  string
}

var operations = map[string]*operation{
	"sts get-caller-identity":      {name: "GetCallerIdentity", call: getCallerIdentity},
	"configure export-credentials": {name: "ExportCredentials", optional: []string{"format"}, call: exportCredentials},
	"s3api put-object":             {name: "PutObject", required: []string{"bucket", "key", "body"}, call: putObject},
	"s3api get-object":             {name: "GetObject", required: []string{"bucket", "key"}, positional: "outfile", call: getObject},
	"s3api list-objects-v2":        {name: "ListObjectsV2", required: []string{"bucket"}, optional: []string{"prefix"}, call: listObjects},
}

// global are the options that every command takes.
var global = []string{"region", "endpoint-url", "output", "query"}

// parse reads a command line. A nil command without error means that help was asked for.
func parse(args []string) (*command, error) {
	values := map[string]string{}
	var words []string
	for i := 0; i < len(args); i++ {
		name, isOption := strings.CutPrefix(args[i], "--")
		if !isOption {
			words = append(words, args[i])
			continue
		}
		if name == "help" {
			return nil, nil
		}
		if name == "no-cli-pager" {
			continue
		}
		name, value, inline := strings.Cut(name, "=")
		if !inline {
			if i+1 == len(args) {
				return nil, fmt.Errorf("argument --%s: expected one argument", name)
			}
			i++
			value = args[i]
		}
		values[name] = value
	}
	if len(words) < 2 {
		return nil, fmt.Errorf("the following arguments are required: a service and a command (found %q)", words)
	}
	op := operations[words[0]+" "+words[1]]
	if op == nil {
		return nil, fmt.Errorf("unknown command: %s %s", words[0], words[1])
	}
	c := &command{operation: op, values: values}
	rest := words[2:]
	if op.positional != "" && len(rest) > 0 {
		c.argument, rest = rest[0], rest[1:]
	} else if op.positional != "" {
		return nil, fmt.Errorf("the following arguments are required: %s", op.positional)
	}
	known := map[string]bool{}
	for _, list := range [][]string{op.required, op.optional, global} {
		for _, name := range list {
			known[name] = true
		}
	}
	for name := range values {
		if !known[name] {
			rest = append(rest, "--"+name)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("unknown options: %s", strings.Join(rest, ", "))
	}
	var missing []string
	for _, name := range op.required {
		if values[name] == "" {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the following arguments are required: %s", strings.Join(missing, ", "))
	}
	if o := values["output"]; o != "" && o != "json" && o != "text" {
		return nil, fmt.Errorf("argument --output: invalid choice %q: json or text", o)
	}
	return c, nil
}
