#!/bin/sh
# Asks STS over and over who the caller is and prints one line for each call:
#   view TAB when the call began (UTC) TAB ok|error TAB the ARN, or the client's whole error
# DRILL_VIEWS names the views that run side by side:
#   kept   one session, obtained once and used until it ends, as a long-running SDK client does
#   fresh  a new process and a new session for each call: nothing is cached
#   new    as fresh, in a pod that was made during the failure
# DRILL_PAUSE is the pause between calls in seconds.
set -u

call() {
	# The CLI keeps sessions of web identities in files, for all its processes.
	rm -rf "$HOME/.aws/cli/cache"
	begin=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
	if said=$(aws sts get-caller-identity --query Arn --output text 2>&1); then state=ok; else state=error; fi
	report "$1" "$begin" "$state" "$said"
}

report() {
	printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(printf '%s' "$4" | tr '\n\t\r' '   ')"
}

# Prints shell exports of the credentials that the client finds. Version 1 of the AWS CLI cannot: the lab has a program
# beside it that can.
session() {
	aws configure export-credentials --format env 2>/dev/null || aws-session configure export-credentials --format env
}

kept() {
	until keys=$(session 2>/tmp/session-error) && [ -n "$keys" ]; do
		report kept "$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)" error "no session yet: $(cat /tmp/session-error)"
		sleep "$DRILL_PAUSE"
	done
	eval "$keys"
	unset keys
	again kept
}

again() {
	while :; do
		call "$1"
		sleep "$DRILL_PAUSE"
	done
}

trap 'kill 0; exit 0' TERM INT
for view in $DRILL_VIEWS; do
	case $view in
	kept) kept & ;;
	*) again "$view" & ;;
	esac
done
wait
