package main

// maxrssPerMiB is how many of getrusage's units of memory make a MiB: Linux counts KiB.
const maxrssPerMiB = 1 << 10
