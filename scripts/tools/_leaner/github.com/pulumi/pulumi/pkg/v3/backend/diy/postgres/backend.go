// Package postgres registers no driver: the lab's Pulumi CLI keeps its state in files.
package postgres
