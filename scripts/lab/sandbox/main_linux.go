package main

import (
	"fmt"
	"os"
	"runtime"
)

func init() {
	// The main goroutine keeps the main thread, so that no goroutine can leave /proc/self in another namespace and a
	// container's first process sets up and executes on one and the same thread.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "serve":
			if err := serve(); err != nil {
				fmt.Fprintln(os.Stderr, "sandbox:", err)
				os.Exit(1)
			}
			return
		case "init":
			become(setUp)
		case "enter":
			become(func(*start) error { return nil })
		}
	}
	fmt.Fprintln(os.Stderr, "usage: sandbox serve (started by the lab)")
	os.Exit(2)
}
