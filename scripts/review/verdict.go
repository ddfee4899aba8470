package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/review/internal/verdict"
)

// maxInput is the most that is read of a file that a pull request's program has written, in bytes.
const maxInput = 256 << 20

func verdictCommand(stdout io.Writer) *cobra.Command {
	var q verdict.Question
	var previewFile, stateFile, timesFile, accountFile, planFile, notesFile, out, record string
	cmd := &cobra.Command{
		Use:   "verdict --preview FILE --result RESULT --stack NAME --commit SHA",
		Short: "The verdict on one commit, and the comment that says it",
		Long: `Judges the preview of one commit and writes the comment and a record, which binds the verdict to commit, stack and,
with --plan, to the plan that "pulumi preview --save-plan" wrote. There is a verdict in every case: a preview that failed,
did not run or is of another stack has the verdict none, and a comment that replaces the one before.

Exit code 0 is for ok and warning, and for a danger that somebody has accepted: a maintainer other than the author, in a
comment "danger-accepted CODE" that nobody has edited, with the code of this commit and this verdict. All else is 1.`,
		Example: `  review verdict --preview preview.json --result success --stack prod --commit "$(git rev-parse HEAD)"
  review verdict --preview preview.json --result "$RESULT" --stack prod --commit "$HEAD" --author octocat \
    --notes notes.jsonl --out comment.md --record verdict.json`,
		Args: cli.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := q.Check(); err != nil {
				return cli.Usage(err)
			}
			var err error
			if q.Preview, err = optional(previewFile); err != nil {
				return err
			}
			if q.State, err = given(stateFile); err != nil {
				return err
			}
			if q.Times, err = optional(timesFile); err != nil {
				return err
			}
			if q.Account, err = account(accountFile); err != nil {
				return err
			}
			if q.Plan, err = given(planFile); err != nil {
				return err
			}
			if q.Notes, err = notes(notesFile); err != nil {
				return err
			}
			q.Now = time.Now()
			r, markdown, _ := verdict.Judge(&q)
			if out == "" {
				_, err = io.WriteString(stdout, markdown)
			} else {
				err = os.WriteFile(out, []byte(markdown), 0o600)
			}
			if record != "" {
				err = errors.Join(err, writeJSON(record, r))
			}
			if err != nil {
				return err
			}
			switch {
			case r.Passes:
				return nil
			case r.Reason != "":
				return fmt.Errorf("%w: no verdict: %s", errFound, r.Reason)
			}
			return fmt.Errorf("%w: the verdict is %s, and nobody has accepted it (%s %s)", errFound, r.Verdict, verdict.Word, r.Code)
		},
	}
	f := cmd.Flags()
	f.StringVar(&previewFile, "preview", "", "`FILE` with what pulumi preview --json --show-sames printed; one that is not there is no preview")
	f.StringVar(&stateFile, "state", "", "`FILE` with what pulumi stack export prints; not needed with --show-sames")
	f.StringVar(&timesFile, "times", "", "`FILE` with the stack's state, of which only urn, created and modified of each resource count: since when steps of a rotation hold; one that is not there says nothing")
	f.StringVar(&accountFile, "account", "", accountUsage)
	f.StringVar(&planFile, "plan", "", "`FILE` of pulumi preview --save-plan, to which the verdict is bound")
	f.StringVar(&q.Result, "result", "", "how the preview ended: success, or anything else")
	f.StringVar(&q.Stack, "stack", "", "`NAME` of the stack that was to be previewed")
	f.StringVar(&q.Commit, "commit", "", "full `SHA` of the commit that is judged")
	f.StringVar(&q.Author, "author", "", "`LOGIN` of the author, who may not accept a danger")
	f.StringVar(&notesFile, "notes", "", "`FILE` with comments, one JSON object a line: login, kind, role, body, created, updated")
	f.StringVar(&out, "out", "", "`FILE` for the comment, in place of standard output")
	f.StringVar(&record, "record", "", "`FILE` for the record, as JSON")
	return cmd
}

// optional reads a file that may be missing, which then is as good as empty.
func optional(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	data, err := bounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

const accountUsage = "`FILE` with what doctor account --json printed, to tell in the comment what the account has beside the stack; it changes no verdict, and one that is not there is told as not read"

// account reads a report of the account where one is named: empty, and not nil, where it is missing.
func account(path string) ([]byte, error) {
	data, err := optional(path)
	if path != "" && data == nil {
		data = []byte{}
	}
	return data, err
}

// given reads a file where one is named.
func given(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return bounded(path)
}

// bounded reads a regular file of at most maxInput bytes: a link in what a pull request has made leads nowhere.
func bounded(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxInput {
		return nil, fmt.Errorf("%s: must be a file of at most %d MiB", path, maxInput>>20)
	}
	return os.ReadFile(path)
}

func notes(path string) ([]verdict.Note, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []verdict.Note
	for decoder := json.NewDecoder(f); ; {
		var n verdict.Note
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("--notes %s: %w", path, err)
		}
		list = append(list, n)
	}
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}
