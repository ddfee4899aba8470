package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"k3s-aws-auth/scripts/lab/internal/sandbox/wire"
)

// hostDirectories of / are visible in containers, read-only. Homes, data and configuration are not: a container must
// not find the credentials of the person who runs the lab.
var hostDirectories = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "nix", "gnu", "sys"}

// hostEtc are the entries of /etc that programs need to find their libraries, locale and defaults.
var hostEtc = []string{
	"alternatives", "bash.bashrc", "gai.conf", "inputrc",
	"crypto-policies", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "magic", "mime.types",
	"os-release", "perl", "profile", "profile.d", "protocols", "rpc", "services", "shells", "terminfo", "timezone",
}

// devices of /dev that containers have.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

const (
	oldRoot  = "/.old"  // the host's root while the container's is being built
	hostCopy = "/.host" // the host's directories once more, where some of them had to be taken apart
)

// buildRoot makes the container's root on spec.RootDir, moves into it and mounts what the spec mounts.
func buildRoot(spec *wire.Container) error {
	root := spec.RootDir
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("container's root: %w", err)
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{oldRoot, 0o700}, {"/etc", 0o755}, {"/etc/ssl/certs", 0o755}, {"/etc/pki", 0o755}, {"/run", 0o755}, {"/tmp", os.ModeSticky | 0o777},
		{"/var/cache", 0o755}, {"/var/lib", 0o755}, {"/var/log", 0o755}, {"/var/tmp", os.ModeSticky | 0o777},
		{"/home", 0o755}, {"/root", 0o700}, {"/mnt", 0o755}, {"/srv", 0o755}, {"/proc", 0o555}, {"/dev", 0o755},
	} {
		if err := os.MkdirAll(root+d.path, 0o755); err != nil {
			return fmt.Errorf("container's root: %w", err)
		}
		if err := os.Chmod(root+d.path, d.mode); err != nil {
			return fmt.Errorf("container's root: %w", err)
		}
	}
	if err := os.Symlink("../run", root+"/var/run"); err != nil {
		return fmt.Errorf("container's root: %w", err)
	}
	if err := hostPrograms(root, spec.Mounts); err != nil {
		return err
	}
	hostConfiguration(root)
	for _, f := range spec.Files {
		if err := writeFile(root+f.Path, f); err != nil {
			return fmt.Errorf("container's file %s: %w", f.Path, err)
		}
	}
	if err := unix.PivotRoot(root, root+oldRoot); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := kernelFileSystems(); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		if err := mount(m); err != nil {
			return fmt.Errorf("mount at %s: %w", m.Target, err)
		}
	}
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the host's root: %w", err)
	}
	if err := os.Remove(oldRoot); err != nil {
		return fmt.Errorf("detach the host's root: %w", err)
	}
	if spec.ReadOnlyRoot {
		if err := restrict("/", unix.MOUNT_ATTR_RDONLY, false); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	return nil
}

// hostPrograms binds the host's directories of programs, read-only. A directory that lacks the target of a mount is
// taken apart: it becomes a directory of the container with the host's entries in it.
func hostPrograms(root string, mounts []wire.Mount) error {
	open := map[string]bool{}
	for _, m := range mounts {
		for _, dir := range missing(m.Target) {
			open[dir] = true
		}
	}
	for _, name := range hostDirectories {
		if err := place(root, "/"+name, open); err != nil {
			return err
		}
	}
	if len(open) == 0 {
		return nil
	}
	for _, name := range hostDirectories {
		if info, err := os.Lstat("/" + name); err != nil || !info.IsDir() {
			continue
		}
		if err := bindReadOnly("/"+name, root+hostCopy+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the host's directories that must be taken apart for a mount's target to be made below them: none
// where the target exists or lies outside the host's directories.
func missing(target string) []string {
	path := filepath.Clean(target)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	existing := path
	for existing != "/" {
		existing = filepath.Dir(existing)
		if info, err := os.Stat(existing); err == nil && info.IsDir() {
			break
		}
	}
	existing, err := filepath.EvalSymlinks(existing)
	if err != nil {
		return nil
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(existing, "/"), "/")
	for _, name := range hostDirectories {
		if top == name {
			var dirs []string
			for dir := existing; dir != "/"; dir = filepath.Dir(dir) {
				dirs = append(dirs, dir)
			}
			return dirs
		}
	}
	return nil
}

// place puts a host's file, directory or link at the same path below root.
func place(root, path string, open map[string]bool) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil // not on this host, or gone since it was listed
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return nil
		}
		return os.Symlink(target, root+path)
	case !info.IsDir():
		// Only in a directory that was taken apart, which can have thousands of files: links are cheaper than mounts.
		return os.Symlink(hostCopy+path, root+path)
	case !open[path]:
		return bindReadOnly(path, root+path)
	}
	if err := os.Mkdir(root+path, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("container's root: %w", err)
	}
	for _, e := range entries {
		if err := place(root, path+"/"+e.Name(), open); err != nil {
			return err
		}
	}
	return nil
}

func bindReadOnly(source, target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s in the container: %w", source, err)
	}
	if err := restrict(target, unix.MOUNT_ATTR_RDONLY, true); err != nil {
		return fmt.Errorf("show %s in the container: read-only: %w", source, err)
	}
	return nil
}

// restrict sets mount attributes; recursive also on the mounts below.
func restrict(path string, attributes uint64, recursive bool) error {
	var flags uint
	if recursive {
		flags = unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: attributes})
	if !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// Before Linux 5.12: one mount at a time, repeating the flags that it has.
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return err
	}
	flag := uintptr(st.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY | unix.MS_NOATIME | unix.MS_RELATIME)
	if attributes&unix.MOUNT_ATTR_RDONLY != 0 {
		flag |= unix.MS_RDONLY
	}
	if attributes&unix.MOUNT_ATTR_NOEXEC != 0 {
		flag |= unix.MS_NOEXEC
	}
	return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|flag, "")
}

// hostConfiguration copies the few entries of the host's /etc that are wanted; one that cannot be had is left out.
func hostConfiguration(root string) {
	matches, _ := filepath.Glob("/etc/python3*")
	for _, name := range append(matches, hostEtc...) {
		name = "/etc/" + strings.TrimPrefix(name, "/etc/")
		info, err := os.Lstat(name)
		switch {
		case err != nil:
		case info.Mode()&os.ModeSymlink != 0:
			if target, err := os.Readlink(name); err == nil {
				_ = os.Symlink(target, root+name)
			}
		case info.IsDir():
			_ = bindReadOnly(name, root+name)
		default:
			if data, err := os.ReadFile(name); err == nil {
				_ = os.WriteFile(root+name, data, 0o644)
			}
		}
	}
	if data, err := os.ReadFile("/etc/ssl/openssl.cnf"); err == nil {
		_ = os.WriteFile(root+"/etc/ssl/openssl.cnf", data, 0o644)
	}
}

func writeFile(path string, f wire.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(f.Data), 0o600); err != nil {
		return err
	}
	return os.Chmod(path, f.Mode.Perm())
}

// kernelFileSystems mounts /proc and /dev. The host's must still be visible: the kernel refuses a new /proc otherwise.
func kernelFileSystems() error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		// Refused where the host's /proc is masked; the host's own then shows the host's process ids.
		if err := unix.Mount(oldRoot+"/proc", "/proc", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	if err := unix.Mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, d := range devices {
		if _, err := os.Stat(oldRoot + "/dev/" + d); err != nil {
			continue
		}
		if err := mount(wire.Mount{Source: "/dev/" + d, Target: "/dev/" + d}); err != nil {
			return fmt.Errorf("device %s: %w", d, err)
		}
	}
	for _, d := range []string{"/dev/pts", "/dev/shm"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	if err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	for link, target := range map[string]string{
		"/dev/ptmx": "pts/ptmx", "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

// mount makes one of the spec's mounts, and its target where it is missing.
func mount(m wire.Mount) error {
	target := filepath.Clean(m.Target)
	if !filepath.IsAbs(target) || target == "/" {
		return fmt.Errorf("target %q is not a path below /", m.Target)
	}
	if m.Source == "" {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
			return err
		}
	} else {
		source := oldRoot + filepath.Clean(m.Source)
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
			if _, missing := os.Stat(target); missing != nil {
				err = os.WriteFile(target, nil, 0o644)
			}
		}
		if err != nil {
			return fmt.Errorf("make the target: %w", err)
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	var attributes uint64
	if m.ReadOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	if m.NoExec {
		attributes |= unix.MOUNT_ATTR_NOEXEC
	}
	if attributes == 0 {
		return nil
	}
	return restrict(target, attributes, true)
}
