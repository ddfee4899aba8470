package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// projection is a file of a Secret, ConfigMap, projected or downward API volume.
type projection struct {
	data []byte
	mode os.FileMode
}

const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
)

// writeAtomic makes a volume's directory show exactly the payload, the way a kubelet does: the files lie in a new
// directory whose name begins with "..", the link ..data is swung to it in one rename, and every top-level name is a
// link through ..data. A reader that opens files through ..data sees one generation. It reports whether anything changed.
func writeAtomic(dir string, payload map[string]projection, now time.Time) (bool, error) {
	for name := range payload {
		if clean := path.Clean(name); clean != name || path.IsAbs(name) || strings.HasPrefix(name, "..") || name == "." || name == "" {
			return false, fmt.Errorf("invalid path %q in a volume", name)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if old != "" && same(filepath.Join(dir, old), payload) {
		return false, links(dir, payload)
	}
	generation, err := os.MkdirTemp(dir, now.UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return false, err
	}
	if err := os.Chmod(generation, 0o755); err != nil { //nolint:gosec // the pod's user reads it
		return false, err
	}
	for name, p := range payload {
		file := filepath.Join(generation, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return false, err
		}
		if err := os.WriteFile(file, p.data, 0o600); err != nil {
			return false, err
		}
		if err := os.Chmod(file, p.mode.Perm()); err != nil {
			return false, err
		}
	}
	next := filepath.Join(dir, newDataLink)
	_ = os.Remove(next)
	if err := os.Symlink(filepath.Base(generation), next); err != nil {
		return false, err
	}
	if err := os.Rename(next, filepath.Join(dir, dataLink)); err != nil {
		return false, err
	}
	if err := links(dir, payload); err != nil {
		return false, err
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// links makes the user-visible names and removes those that are not in the payload any more.
func links(dir string, payload map[string]projection) error {
	wanted := map[string]bool{}
	for name := range payload {
		top, _, _ := strings.Cut(name, "/")
		wanted[top] = true
	}
	for top := range wanted {
		err := os.Symlink(filepath.Join(dataLink, top), filepath.Join(dir, top))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !wanted[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// same tells whether a generation holds exactly the payload.
func same(generation string, payload map[string]projection) bool {
	count := 0
	err := filepath.WalkDir(generation, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		name, err := filepath.Rel(generation, file)
		if err != nil {
			return err
		}
		p, ok := payload[filepath.ToSlash(name)]
		if !ok {
			return errors.New("a file more")
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != p.mode.Perm() {
			return errors.New("another mode")
		}
		data, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(data, p.data) {
			return errors.Join(err, errors.New("other data"))
		}
		return nil
	})
	return err == nil && count == len(payload)
}
