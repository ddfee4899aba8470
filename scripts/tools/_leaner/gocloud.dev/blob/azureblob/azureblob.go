// Package azureblob registers no driver: the lab's Pulumi CLI is built without Azure's blob storage.
package azureblob
