package gate

import (
	"encoding/json"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bus takes the events of AWS services of the account, as EventBridge's default bus of a region does.
type Bus interface {
	Put(region string, event map[string]any)
}

// SetBus sets where events go. It is called before the gate serves. The account then has a trail with management events,
// reading ones too, as far as they are about getting credentials: calls of STS, and CreateSession of Roles Anywhere.
func (g *Gate) SetBus(b Bus) { g.bus = b }

// put sends an event in the frame that all of EventBridge's have.
func (g *Gate) put(region, source, detailType string, at time.Time, resources []string, detail map[string]any) {
	if g.bus == nil {
		return
	}
	event := map[string]any{
		"version": "0", "id": newRequestID(), "source": source, "detail-type": detailType, "account": g.AccountID(), "region": region,
		"time": at.UTC().Format(time.RFC3339), "resources": []any{}, "detail": detail,
	}
	for _, r := range resources {
		event["resources"] = append(event["resources"].([]any), r)
	}
	g.bus.Put(region, event)
}

// hidden are parameters that CloudTrail leaves out.
var hidden = map[string]bool{"Action": true, "Version": true, "WebIdentityToken": true}

// trail sends a call to the bus as CloudTrail does.
func (g *Gate) trail(c *Call) {
	if g.bus == nil || c.internal {
		return
	}
	var parameters any
	switch {
	case c.Service == "sts":
		given := map[string]any{}
		for name := range c.Form {
			if !hidden[name] {
				first, size := utf8.DecodeRuneInString(name)
				given[string(unicode.ToLower(first))+name[size:]] = c.Form.Get(name)
			}
		}
		parameters = given
	case c.Service == "rolesanywhere" && c.Action == "CreateSession":
		// Of a refused one no published record tells whether it has parameters, or whether it counts as reading: here it
		// has none and does, which asks more of a rule.
		if c.failure == nil {
			given := map[string]any{}
			_ = json.Unmarshal(c.Body, &given)
			for _, name := range []string{"profileArn", "roleArn", "trustAnchorArn"} {
				if v := c.R.URL.Query().Get(name); v != "" {
					given[name] = v
				}
			}
			parameters = given
		}
	default:
		return
	}
	address := remoteIP(c.R)
	if address == "" { // by a connection within this machine
		address = "127.0.0.1"
	}
	detail := map[string]any{
		"eventVersion": "1.08", "eventTime": c.Time.UTC().Format(time.RFC3339), "eventSource": c.Service + "." + DNSSuffix, "eventName": c.Action,
		"awsRegion": c.Region, "sourceIPAddress": address, "userAgent": c.R.UserAgent(), "requestID": c.RequestID, "eventType": "AwsApiCall",
		"managementEvent": true, "readOnly": true, "requestParameters": parameters,
	}
	if f := c.failure; f != nil {
		if strings.HasPrefix(f.Message, "Couldn't retrieve verification key") {
			return // which CloudTrail does not record
		}
		detail["errorCode"], detail["errorMessage"] = f.Code, f.Message
	}
	g.put(c.Region, "aws."+c.Service, "AWS API Call via CloudTrail", c.Time, nil, detail)
}

// expiries remembers which certificates were told of on which day.
type expiries struct {
	mu   sync.Mutex
	told map[string]bool
}

// expiry sends the event of a certificate that ends soon, once a day. resource is the trust anchor of a CA, empty for
// what is below one.
func (g *Gate) expiry(c *Call, threshold int, resource, serial, issuer string, end time.Time) {
	days := int(end.Sub(c.Time).Hours() / 24)
	if g.bus == nil || days > threshold {
		return
	}
	key := resource + " " + serial + " " + c.Time.UTC().Format(time.DateOnly)
	g.expiries.mu.Lock()
	if g.expiries.told == nil {
		g.expiries.told = map[string]bool{}
	}
	told := g.expiries.told[key]
	g.expiries.told[key] = true
	g.expiries.mu.Unlock()
	if told {
		return
	}
	var resources []string
	if resource != "" {
		resources = []string{resource}
	}
	g.put(c.Region, "aws.rolesanywhere", "Roles Anywhere Certificate Expiration State Change", c.Time, resources,
		map[string]any{"certificate-serial-number": serial, "days-to-expiry": days, "issuer": issuer})
}
