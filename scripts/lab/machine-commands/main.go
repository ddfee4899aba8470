// Command machine-commands stands, on the lab's machines, for what a boot script finds on Ubuntu and cannot run there:
// K3s itself, systemd's systemctl and journalctl, and cloud-init, told apart by the name that it is called by. Each hands
// its request to the lab's daemon by a socket that the machine has at machineSocket; the daemon reads the machine's own
// config.yaml and files and starts the control plane with exactly those arguments, or plays systemd.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// machineSocket is where a machine reaches the daemon.
const machineSocket = "/run/lab/machine.sock"

// versionMark precedes the version at the end of the program's own file: the lab's release server appends it, so that
// each version is a binary with a digest of its own, as K3s's releases are.
const versionMark = "\nK3S_VERSION="

// request is what a program of the machine asks of the daemon.
type request struct {
	Program string   `json:"program"`
	Args    []string `json:"args"`
}

// answer is the daemon's: what to print, and the exit status. For `k3s server` and `k3s agent` it comes once the node
// runs, and the connection stays open as long as the node does.
type answer struct {
	Output string `json:"output"`
	Status int    `json:"status"`
}

func main() {
	program := filepath.Base(os.Args[0])
	if program == "k3s" && len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Printf("k3s version %s (lab)\n", version())
		return
	}
	if err := ask(request{Program: program, Args: os.Args[1:]}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}

func ask(r request) error {
	conn, err := net.Dial("unix", machineSocket)
	if err != nil {
		return fmt.Errorf("this machine has lost its lab: %w", err)
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return err
	}
	decoder := json.NewDecoder(conn)
	var a answer
	if err := decoder.Decode(&a); err != nil {
		return fmt.Errorf("no answer of the lab: %w", err)
	}
	fmt.Print(a.Output)
	if a.Status == 0 && r.Program == "k3s" && len(r.Args) == 1 {
		// The node runs: this process lives as long as it does.
		err := decoder.Decode(&a)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Print(a.Output)
	}
	os.Exit(a.Status)
	return nil
}

// version reads which release this program was served as.
func version() string {
	self, err := os.Executable()
	if err != nil {
		return "unknown"
	}
	data, err := os.ReadFile(self)
	if err != nil {
		return "unknown"
	}
	tail := string(data[max(0, len(data)-128):])
	if i := strings.LastIndex(tail, versionMark); i >= 0 {
		return strings.TrimSpace(tail[i+len(versionMark):])
	}
	return "unknown"
}
