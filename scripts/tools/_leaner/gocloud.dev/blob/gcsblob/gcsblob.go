// Package gcsblob registers no driver: the lab's Pulumi CLI is built without Google Cloud Storage.
package gcsblob

// Scheme is that of this storage's URLs.
const Scheme = "gs"
