# Asks STS who the caller is until it answers, and reports times of the container's own clock (nanoseconds since 1970)
# as the termination message: lines of a word and a value, an empty line, and what the client printed.
#
# Environment: BENCH_TIMEOUT (seconds to go on trying), BENCH_VERSION (1: report the client's version too).
now() { date +%s%N; }

start=$(now)
last=$(($(date +%s) + BENCH_TIMEOUT))
attempts=0
status=0
while :; do
	attempts=$((attempts + 1))
	if aws sts get-caller-identity --output json >/tmp/bench-out 2>/tmp/bench-error; then
		break
	fi
	if [ "$(date +%s)" -ge "$last" ]; then
		status=1
		mv /tmp/bench-error /tmp/bench-out
		break
	fi
	sleep 0.2
done
answered=$(now)
{
	echo "start $start"
	[ "$status" -ne 0 ] || echo "answered $answered"
	echo "attempts $attempts"
	[ "$BENCH_VERSION" -ne 1 ] || echo "version $(aws --version 2>&1 | head -n 1)"
	echo
	head -c 2000 /tmp/bench-out
} >/dev/termination-log
exit "$status"
