package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCalls(t *testing.T) {
	log := "2026-01-02T03:04:05.000Z\tok arn:aws:sts::1:assumed-role/r/s\n" +
		"2026-01-02T03:04:06.000Z\tTraceback (most recent call last):\n" +
		"2026-01-02T03:04:07.500Z\tfailed ClientError An error\toccurred\n" +
		"no time\tok x\n"
	all := parseCalls([]byte(log), time.Time{})
	require.Equal(t, []call{{true, "arn:aws:sts::1:assumed-role/r/s"}, {false, "ClientError An error\toccurred"}}, all)
	require.Len(t, parseCalls([]byte(log), time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)), 1, "of an hour that began later")
}

func TestHoursTable(t *testing.T) {
	var out bytes.Buffer
	hoursTable(&out, []hour{{Name: "sessions end", Calls: 40, Exchanges: 3, Works: true}, {Name: "AWS fails", Calls: 9, Failed: 9, Refused: 2, Error: "InternalFailure"}})
	require.Contains(t, out.String(), "yes")
	require.Contains(t, out.String(), "NO")
	require.Contains(t, out.String(), "InternalFailure")
}
