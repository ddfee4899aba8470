// Command sandbox makes the lab's machines and pods: package lab/internal/sandbox starts it in new user, mount, pid and
// network namespaces, where it needs no privileges, and it makes network namespaces, routes between them and containers
// on request, passing listening sockets back by file descriptor. It is not meant to be run by hand.
//
//	sandbox serve   answers requests on file descriptor 3
//	sandbox init    becomes a container's first process (started by serve)
//	sandbox enter   becomes a further process of a container (started by serve)
package main
