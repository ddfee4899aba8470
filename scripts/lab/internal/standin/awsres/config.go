package awsres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

// decodeConfig turns the provider's inputs into their types: SDKs and stack configuration send nested values as JSON
// texts and truth values as "true".
func decodeConfig(in m) (m, error) {
	out := m{}
	for name, v := range in {
		text, isText := v.(string)
		if !isText {
			out[name] = v
			continue
		}
		switch name {
		case "defaultTags", "ignoreTags", "allowedAccountIds", "forbiddenAccountIds":
			if text == "" {
				continue
			}
			var decoded any
			if err := json.Unmarshal([]byte(text), &decoded); err != nil {
				return nil, fmt.Errorf("aws:%s: %w", name, err)
			}
			out[name] = decoded
		case "maxRetries":
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("aws:%s: %w", name, err)
			}
			out[name] = n
		case "skipCredentialsValidation", "skipRegionValidation", "skipMetadataApiCheck", "skipRequestingAccountId",
			"s3UsePathStyle":
			b, err := strconv.ParseBool(text)
			if err != nil {
				return nil, fmt.Errorf("aws:%s: %w", name, err)
			}
			out[name] = b
		default:
			out[name] = text
		}
	}
	return out, nil
}

// tagsAll merges the default tags with a resource's own, which win, and leaves the ignored ones out.
func (c *Client) tagsAll(tags m) m {
	out := m{}
	if c == nil {
		for k, v := range tags {
			out[k] = v
		}
		return out
	}
	for k, v := range c.defaultTags {
		out[k] = v
	}
	for k, v := range tags {
		out[k] = v
	}
	for k := range out {
		if c.ignored(k) {
			delete(out, k)
		}
	}
	return out
}

// ownTags leaves of the tags that a resource carries those that are not the provider's default ones; a default tag that
// the resource's own inputs repeat stays.
func (c *Client) ownTags(all, own m) m {
	out := m{}
	for k, v := range all {
		if c.ignored(k) {
			continue
		}
		if d, isDefault := c.defaultTags[k]; isDefault && d == v && !engine.Has(own, k) {
			continue
		}
		out[k] = v
	}
	return out
}

func (c *Client) ignored(key string) bool {
	if strings.HasPrefix(key, "aws:") || listed(c.ignoreKeys, key) {
		return true
	}
	for _, prefix := range c.ignoreStart {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
