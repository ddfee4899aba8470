// Package s3blob registers no driver: the lab's Pulumi CLI is built without Amazon S3.
package s3blob
