package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// firstBuild is what the first build on a machine writes, downloads and the compiler's temporary files included, in
// gigabytes: docs/lab.md, "The first run".
const firstBuild = 8

// fullDisk is what the system says of a disk that is full.
const fullDisk = "no space left on device"

// place is a directory that a build writes to.
type place struct {
	path string
	// by is the variable that moves it elsewhere.
	by string
}

// places are all directories that a build writes to.
func places(ctx context.Context, scripts, root string) ([]place, error) {
	out, err := goOutput(ctx, scripts, "env", "GOMODCACHE", "GOCACHE", "GOTMPDIR")
	if err != nil {
		return nil, err
	}
	list := []place{{root, "XDG_CACHE_HOME"}}
	for i, path := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		p := place{path, []string{"GOMODCACHE", "GOCACHE", "GOTMPDIR"}[i]}
		if p.path == "" {
			p = place{os.TempDir(), "TMPDIR"}
		}
		list = append(list, p)
	}
	return list, nil
}

// free is how many gigabytes a user can still write to the disk of a path that may not exist yet.
func free(path string) (float64, error) {
	for ; filepath.Dir(path) != path; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(path, &disk); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return float64(disk.Bavail) * float64(disk.Bsize) / 1e9, nil
}

// room says which directories have less than so many gigabytes free, one in each line. Nothing where all have more.
func room(list []place, gigabytes float64) string {
	var short strings.Builder
	for _, p := range list {
		if has, err := free(p.path); err == nil && has < gigabytes {
			fmt.Fprintf(&short, "  %.1f GB free for %s (%s moves it)\n", has, p.path, p.by)
		}
	}
	return short.String()
}

// warnOfFullDisk says before a long build that the disk may not do. A build that finds most of it in caches needs less, so
// it goes on.
func warnOfFullDisk(ctx context.Context, scripts, root string, out io.Writer) error {
	list, err := places(ctx, scripts, root)
	if err != nil {
		return err
	}
	if short := room(list, firstBuild); short != "" {
		fmt.Fprintf(out, "the disk may be too small: a first build writes up to %d GB, and there are\n%s", firstBuild, short)
	}
	return nil
}

// explainFullDisk adds to a failed build what of the disk is full and how to go on.
func explainFullDisk(ctx context.Context, scripts, root string, failed error) error {
	if failed == nil || !strings.Contains(failed.Error(), fullDisk) {
		return failed
	}
	list, err := places(ctx, scripts, root)
	if err != nil {
		return failed
	}
	return fmt.Errorf("%w\nthe disk is full: a first build writes up to %d GB. What is compiled and downloaded is kept, so free some space "+
		"(go clean -cache removes what Go has compiled for everything) and run the same command again; there are\n%s",
		failed, firstBuild, room(list, firstBuild))
}
