package iampolicy

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

var (
	setPrefix     = regexp.MustCompile(`^(ForAllValues|ForAnyValue):`)
	numberPattern = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)
	epochPattern  = regexp.MustCompile(`^[0-9]{1,18}$`)
	// dateLayouts are the forms of ISO 8601 that IAM reads
	// (https://www.w3.org/TR/NOTE-datetime). An epoch is a whole number of seconds.
	dateLayouts = []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.999999999Z07:00"}
)

// OperandFault returns what a value of a condition must be for its operator, or ""
// where it is that. Anything is text; policy variables are for text and ARNs.
//
// IAM stores most malformed values without a word, and the condition then never
// holds: a Deny that should end an access lets it go on.
//
// Source: IAM user guide, "IAM JSON policy elements: Condition operators" and
// "IAM policy elements: Variables and tags", where you can use policy variables.
func OperandFault(operator, value string) string {
	base := strings.TrimSuffix(setPrefix.ReplaceAllString(operator, ""), "IfExists")
	switch {
	case strings.HasPrefix(base, "Numeric"):
		if !numberPattern.MatchString(value) {
			return "a number"
		}
	case strings.HasPrefix(base, "Date"):
		if !isDate(value) {
			return "a date such as 2026-12-31T00:00:00Z, or seconds since 1970"
		}
	case base == "Bool", base == "Null":
		if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
			return `"true" or "false"`
		}
	case base == "IpAddress", base == "NotIpAddress":
		_, single := netip.ParseAddr(value)
		_, block := netip.ParsePrefix(value)
		if single != nil && block != nil || strings.Contains(value, "%") {
			return "an address or a block such as 203.0.113.0/24"
		}
	case base == "BinaryEquals":
		if _, err := base64.StdEncoding.DecodeString(value); err != nil {
			return "base64"
		}
	case strings.HasPrefix(base, "Arn"):
		if !strings.HasPrefix(value, "arn:") && !strings.HasPrefix(value, "*") && !strings.HasPrefix(value, "${") {
			return "an ARN, with wildcards where one wants them"
		}
	}
	return ""
}

func isDate(value string) bool {
	for _, layout := range dateLayouts {
		if _, err := time.Parse(layout, value); err == nil {
			return true
		}
	}
	// 20261231 would be a day in August 1970.
	_, err := time.Parse("20060102", value)
	return err != nil && epochPattern.MatchString(value)
}

// Partition returns the partition that an ARN names, or "" where it names none:
// text that is no ARN, and wildcards and variables in its place.
func Partition(arn string) string {
	rest, ok := strings.CutPrefix(arn, "arn:")
	partition, _, found := strings.Cut(rest, ":")
	if !ok || !found || strings.ContainsAny(partition, "*?$") {
		return ""
	}
	return partition
}
