package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// logWriter writes a container's output in the CRI's format: time, stream, F or P for a full or partial line, text.
type logWriter struct {
	mu  sync.Mutex
	f   *os.File
	now func() time.Time
}

func newLogWriter(path string, now func() time.Time) (*logWriter, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &logWriter{f: f, now: now}, nil
}

// maxLogLine is the longest piece of a line, as in container runtimes.
const maxLogLine = 16 << 10

// copy writes everything that comes from r until its end.
func (l *logWriter) copy(stream string, r io.Reader) {
	b := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			tag := "F"
			if line[len(line)-1] != '\n' {
				tag = "P"
				if errors.Is(err, io.EOF) {
					tag = "F"
				}
			}
			l.mu.Lock()
			_, _ = fmt.Fprintf(l.f, "%s %s %s %s\n", l.now().UTC().Format(time.RFC3339Nano), stream, tag, bytes.TrimSuffix(line, []byte("\n")))
			l.mu.Unlock()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *logWriter) Close() error { return l.f.Close() }

// logOptions are the ones of a request for logs.
type logOptions struct {
	follow     bool
	timestamps bool
	tail       int64 // -1 = all
	since      time.Time
	limit      int64 // bytes, 0 = all
}

type logLine struct {
	at   time.Time
	text []byte // with its newline, unless the line is partial
}

func parseLogLine(line []byte) (logLine, error) {
	parts := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(" "), 4)
	if len(parts) != 4 {
		return logLine{}, fmt.Errorf("log line %q is not in the CRI's format", line)
	}
	at, err := time.Parse(time.RFC3339Nano, string(parts[0]))
	if err != nil {
		return logLine{}, err
	}
	text := parts[3]
	if string(parts[2]) == "F" {
		text = append(bytes.Clone(text), '\n')
	}
	return logLine{at: at, text: text}, nil
}

// readLogs writes a log file to w as the options say. While following, ended tells whether the container is done, in
// which case what is left is written and reading ends.
func readLogs(ctx context.Context, w io.Writer, path string, o logOptions, ended func() bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out := &limitedWriter{w: w, left: o.limit, limited: o.limit > 0}
	emit := func(l logLine) error {
		if l.at.Before(o.since) {
			return nil
		}
		if o.timestamps {
			if _, err := fmt.Fprintf(out, "%s ", l.at.Format(time.RFC3339Nano)); err != nil {
				return err
			}
		}
		_, err := out.Write(l.text)
		return err
	}
	r := bufio.NewReader(f)
	var pending []byte // an unfinished line at the end of the file
	next := func() (logLine, bool, error) {
		part, err := r.ReadBytes('\n')
		pending = append(pending, part...)
		if errors.Is(err, io.EOF) {
			return logLine{}, false, nil
		}
		if err != nil {
			return logLine{}, false, err
		}
		l, err := parseLogLine(pending)
		pending = nil
		return l, true, err
	}
	var tail []logLine
	for {
		l, ok, err := next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch {
		case o.tail < 0:
			if err := emit(l); err != nil {
				return ignoreLimit(err)
			}
		case o.tail > 0:
			if tail = append(tail, l); int64(len(tail)) > o.tail {
				tail = tail[1:]
			}
		}
	}
	for _, l := range tail {
		if err := emit(l); err != nil {
			return ignoreLimit(err)
		}
	}
	for o.follow {
		// Asked before reading: what was written before the end is read after it.
		last := ended()
		for {
			l, ok, err := next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := emit(l); err != nil {
				return ignoreLimit(err)
			}
		}
		if last {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

var errLimit = errors.New("limit of bytes reached")

func ignoreLimit(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

type limitedWriter struct {
	w       io.Writer
	left    int64
	limited bool
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if !l.limited {
		return l.w.Write(p)
	}
	cut := p[:min(int64(len(p)), l.left)]
	n, err := l.w.Write(cut)
	l.left -= int64(n)
	if err == nil && n < len(p) {
		err = errLimit
	}
	return n, err
}

// logPath is where the log of a container's nth start is.
func (k *Kubelet) logPath(namespace, pod, uid, container string, start int32) string {
	return filepath.Join(k.o.Dir, "logs", fmt.Sprintf("%s_%s_%s", namespace, pod, uid), container, fmt.Sprintf("%d.log", start))
}
