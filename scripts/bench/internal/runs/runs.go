// Package runs keeps the runs of a benchmark as rows of a CSV file, each with the environment that it was made in, and
// reads them again: reports are made from the file, not from memory.
package runs

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/bench/internal/coldstart"
)

// Environment is where and how a run was made.
type Environment struct {
	// Where is "lab" or "cluster".
	Where string
	// Commit is the project's, with + where the tree had changes.
	Commit string
	Seed   int
	// Profile is the latency profile's name, empty for none.
	Profile    string
	Kubernetes string
	OS         string
	CPU        string
	CPUs       int
}

// Row is one run.
type Row struct {
	Environment
	Case, Setup, Client, Helper string
	// Keys is "cold" where STS had to fetch the issuer's keys, else empty.
	Keys  string
	Image string

	Warmup bool
	Round  int
	coldstart.Phases
	Node     string
	Began    time.Time
	Attempts int
	Observed bool
	Calls    coldstart.Calls
	Load     float64
	Caller   string
	Version  string
	// Error is empty where the run succeeded.
	Error string
}

// OK tells whether a run counts: it succeeded and was no warm-up.
func (r *Row) OK() bool { return r.Error == "" && !r.Warmup }

// column is a column of the file and the field that it is of.
type column struct {
	name  string
	field func(*Row) any
}

// columns in the file's order. Times are in seconds since the pod was given to the API server.
var columns = []column{
	{"began", func(r *Row) any { return &r.Began }},
	{"case", func(r *Row) any { return &r.Case }},
	{"setup", func(r *Row) any { return &r.Setup }},
	{"client", func(r *Row) any { return &r.Client }},
	{"helper", func(r *Row) any { return &r.Helper }},
	{"keys", func(r *Row) any { return &r.Keys }},
	{"warmup", func(r *Row) any { return &r.Warmup }},
	{"round", func(r *Row) any { return &r.Round }},
	{"error", func(r *Row) any { return &r.Error }},
	{"created_s", func(r *Row) any { return &r.Created }},
	{"scheduled_s", func(r *Row) any { return &r.Scheduled }},
	{"network_s", func(r *Row) any { return &r.Network }},
	{"started_s", func(r *Row) any { return &r.Started }},
	{"credentials_s", func(r *Row) any { return &r.Credentials }},
	{"sts_s", func(r *Row) any { return &r.STS }},
	{"answered_s", func(r *Row) any { return &r.Answered }},
	{"attempts", func(r *Row) any { return &r.Attempts }},
	{"observed", func(r *Row) any { return &r.Observed }},
	{"metadata_requests", func(r *Row) any { return &r.Calls.Metadata }},
	{"sts_calls", func(r *Row) any { return &r.Calls.STS }},
	{"createsession_calls", func(r *Row) any { return &r.Calls.CreateSession }},
	{"issuer_documents", func(r *Row) any { return &r.Calls.Documents }},
	{"edge_misses", func(r *Row) any { return &r.Calls.EdgeMisses }},
	{"connections", func(r *Row) any { return &r.Calls.Connections }},
	{"round_trips", func(r *Row) any { return &r.Calls.RoundTrips }},
	{"caller", func(r *Row) any { return &r.Caller }},
	{"node", func(r *Row) any { return &r.Node }},
	{"load_1m", func(r *Row) any { return &r.Load }},
	{"image", func(r *Row) any { return &r.Image }},
	{"client_version", func(r *Row) any { return &r.Version }},
	{"kubernetes", func(r *Row) any { return &r.Kubernetes }},
	{"where", func(r *Row) any { return &r.Where }},
	{"latency_profile", func(r *Row) any { return &r.Profile }},
	{"seed", func(r *Row) any { return &r.Seed }},
	{"commit", func(r *Row) any { return &r.Commit }},
	{"os", func(r *Row) any { return &r.OS }},
	{"cpu", func(r *Row) any { return &r.CPU }},
	{"cpus", func(r *Row) any { return &r.CPUs }},
}

// Header is the file's first line.
func Header() []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.name
	}
	return out
}

// Record is the row as fields of the file. What was not observed is an empty field.
func (r *Row) Record() []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		switch v := c.field(r).(type) {
		case *string:
			out[i] = *v
		case *int:
			out[i] = strconv.Itoa(*v)
		case *bool:
			out[i] = strconv.FormatBool(*v)
		case *float64:
			if !math.IsNaN(*v) {
				out[i] = strconv.FormatFloat(*v, 'f', 6, 64)
			}
		case *time.Time:
			out[i] = v.UTC().Format(time.RFC3339Nano)
		}
	}
	return out
}

func (r *Row) set(c column, text string) (err error) {
	switch v := c.field(r).(type) {
	case *string:
		*v = text
	case *int:
		*v, err = strconv.Atoi(text)
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *float64:
		*v = math.NaN()
		if text != "" {
			*v, err = strconv.ParseFloat(text, 64)
		}
	case *time.Time:
		*v, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	return nil
}

// File appends rows to a CSV file.
type File struct {
	f *os.File
	w *csv.Writer
}

// Append opens a file of runs, or makes it. An existing one must have the same columns.
func Append(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644) //nolint:gosec // a result that others may read
	if err != nil {
		return nil, err
	}
	out := &File{f, csv.NewWriter(f)}
	first, err := csv.NewReader(f).Read()
	switch {
	case errors.Is(err, io.EOF):
		err = out.write(Header())
	case err == nil && !slices.Equal(first, Header()):
		err = fmt.Errorf("%s has other columns: it was made by another version, choose another directory", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

// Add writes a row at once, so that it is kept whatever comes.
func (f *File) Add(r *Row) error { return f.write(r.Record()) }

func (f *File) write(record []string) error {
	if err := f.w.Write(record); err != nil {
		return err
	}
	f.w.Flush()
	return f.w.Error()
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

// Read reads a file of runs.
func Read(path string) ([]*Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(records) == 0 || !slices.Equal(records[0], Header()) {
		return nil, fmt.Errorf("%s: the first line is not %s", path, strings.Join(Header(), ","))
	}
	var rows []*Row
	for i, record := range records[1:] {
		r := &Row{}
		for k, c := range columns {
			if err := r.set(c, record[k]); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", path, i+2, err)
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}
