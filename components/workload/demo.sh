#!/bin/sh
# Proves a pod's AWS identity: asks STS who the caller is, compares that with
# the role that is expected, and puts the answer into the bucket as an object.
# Tries until both succeed (new roles and policies take some seconds to reach
# every AWS server), then marks the pod ready and waits to be stopped.
#
# Environment: DEMO_ROLE (name of the expected role), DEMO_BUCKET, DEMO_KEY.
set -eu

stop() {
	echo "stopping"
	exit 0
}
trap stop TERM INT

# Waits without keeping the trap from running.
pause() {
	sleep "$1" &
	wait "$!"
}

prove() {
	aws sts get-caller-identity --output json >/tmp/caller.json || return 1
	caller=$(cat /tmp/caller.json)
	case $caller in
	*":assumed-role/$DEMO_ROLE/"*) ;;
	*)
		echo "the caller is not a session of role $DEMO_ROLE but $caller" >&2
		return 1
		;;
	esac
	echo "$caller"
	aws s3api put-object --bucket "$DEMO_BUCKET" --key "$DEMO_KEY" --body /tmp/caller.json || return 1
	echo "put s3://$DEMO_BUCKET/$DEMO_KEY"
}

delay=1
until prove; do
	echo "not proven yet, next try in $delay s" >&2
	pause "$delay"
	[ "$delay" -ge 8 ] || delay=$((delay * 2))
done
touch /tmp/proven
echo "proven: role $DEMO_ROLE"
while :; do
	pause 3600
done
