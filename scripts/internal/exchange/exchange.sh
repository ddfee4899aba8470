#!/bin/sh
# Exchanges the pod's identity for credentials over and over, and prints one line for each exchange:
#   when it began (UTC) TAB ok|error TAB the caller's ARN, or the client's whole error
set -u
while :; do
	# The CLI keeps sessions of web identities in files, for all its processes.
	rm -rf "$HOME/.aws/cli/cache"
	began=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
	if said=$(aws sts get-caller-identity --query Arn --output text 2>&1); then state=ok; else state=error; fi
	printf '%s\t%s\t%s\n' "$began" "$state" "$(printf '%s' "$said" | tr '\n\t\r' '   ')"
	sleep 0.1
done
