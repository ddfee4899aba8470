package awsres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"k3s-aws-auth/scripts/lab/internal/standin/engine"
)

var acmResources = map[string]*resource{
	"aws:acm/certificate:Certificate": {
		Create: createCertificate, Read: readCertificate, Update: updateCertificate, Delete: deleteCertificate, Check: checkCertificate,
		Diff: diffCertificate,
	},
	"aws:acm/certificateValidation:CertificateValidation": {Create: createValidation, Read: readValidation},
}

const certificateGone = "ResourceNotFoundException"

func checkCertificate(c *checker) {
	imported := c.Given("privateKey") || c.Given("certificateBody")
	if imported {
		for _, name := range []string{"validationMethod", "subjectAlternativeNames", "validationOptions", "certificateAuthorityArn"} {
			if c.Given(name) {
				c.Fail(name, "Conflicting configuration arguments. %q: conflicts with privateKey.", name)
			}
		}
		return
	}
	if !c.Given("validationMethod") && !c.Given("certificateAuthorityArn") {
		c.Fail("validationMethod", "Missing required argument. An Amazon-issued certificate needs a validationMethod.")
	}
	if s, ok := c.In["validationMethod"].(string); ok && !listed([]string{"DNS", "EMAIL", "HTTP"}, s) {
		c.Fail("validationMethod", "expected %q to be one of [\"DNS\" \"EMAIL\" \"HTTP\"], got %s.", "validationMethod", s)
	}
	texts := append([]string{engine.Str(c.In, "domainName")}, engine.Strs(c.In, "subjectAlternativeNames")...)
	for _, s := range texts {
		if strings.HasSuffix(s, ".") {
			c.Fail("domainName", "invalid value for domain name (cannot end with a period): %s.", s)
		}
	}
}

// diffCertificate does not count the domain name among the alternative names: the service adds it.
func diffCertificate(d *diff) {
	if !d.Has("subjectAlternativeNames") {
		return
	}
	domain := engine.Str(d.In, "domainName")
	without := func(list []string) map[string]bool {
		out := map[string]bool{}
		for _, s := range list {
			if s != domain {
				out[s] = true
			}
		}
		return out
	}
	was, now := without(engine.Strs(d.Old, "subjectAlternativeNames")), without(engine.Strs(d.In, "subjectAlternativeNames"))
	given, _ := d.In["subjectAlternativeNames"].([]any)
	if len(given) != len(engine.Strs(d.In, "subjectAlternativeNames")) || len(was) != len(now) {
		return // something is unknown or differs
	}
	for s := range was {
		if !now[s] {
			return
		}
	}
	d.Drop("subjectAlternativeNames")
}

func acmTags(tags map[string]string) []types.Tag {
	var out []types.Tag
	for _, k := range sorted(tags) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}

// certificateOptions are the options of a certificate. AWS takes the one there is and, since it ended the opt-out of
// transparency logs, does not report it faithfully: the state keeps what the program gave.
func certificateOptions(o m) *types.CertificateOptions {
	preference := types.CertificateTransparencyLoggingPreference(engine.Str(o, "certificateTransparencyLoggingPreference"))
	return &types.CertificateOptions{CertificateTransparencyLoggingPreference: preference} //nolint:staticcheck // pulumi-aws still sends it
}

func createCertificate(ctx context.Context, c *call) (string, m, error) {
	if engine.Has(c.In, "privateKey") {
		return importCertificate(ctx, c, nil)
	}
	in := &acm.RequestCertificateInput{
		DomainName: engine.StrPtr(c.In, "domainName"), ValidationMethod: types.ValidationMethod(engine.Str(c.In, "validationMethod")),
		SubjectAlternativeNames: engine.Strs(c.In, "subjectAlternativeNames"), KeyAlgorithm: types.KeyAlgorithm(engine.Str(c.In, "keyAlgorithm")),
		CertificateAuthorityArn: engine.StrPtr(c.In, "certificateAuthorityArn"), IdempotencyToken: aws.String(engine.UniqueSuffix()),
		Tags: acmTags(c.Tags()),
	}
	if o := engine.Obj(c.In, "options"); o != nil {
		in.Options = certificateOptions(o)
	}
	for _, o := range engine.Objs(c.In, "validationOptions") {
		in.DomainValidationOptions = append(in.DomainValidationOptions, types.DomainValidationOption{
			DomainName: engine.StrPtr(o, "domainName"), ValidationDomain: engine.StrPtr(o, "validationDomain"),
		})
	}
	out, err := c.Client.acm().RequestCertificate(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("requesting ACM Certificate (%s): %w", engine.Str(c.In, "domainName"), err)
	}
	arn := aws.ToString(out.CertificateArn)
	// The records that prove the domain come a little later; the issue itself is CertificateValidation's to wait for.
	return arn, nil, engine.Wait(ctx, 5*time.Minute, "DNS validation data of ACM Certificate "+arn, func(ctx context.Context) (bool, error) {
		d, err := findCertificate(ctx, c.Client, arn)
		if err != nil || in.ValidationMethod != types.ValidationMethodDns {
			return err == nil, err
		}
		for _, o := range d.DomainValidationOptions {
			if o.ResourceRecord == nil {
				return false, nil
			}
		}
		return len(d.DomainValidationOptions) > 0, nil
	})
}

func importCertificate(ctx context.Context, c *call, arn *string) (string, m, error) {
	in := &acm.ImportCertificateInput{
		CertificateArn: arn, Certificate: []byte(engine.Str(c.In, "certificateBody")), PrivateKey: []byte(engine.Str(c.In, "privateKey")),
	}
	if chain := engine.Str(c.In, "certificateChain"); chain != "" {
		in.CertificateChain = []byte(chain)
	}
	if arn == nil { // the API refuses tags together with a re-import
		in.Tags = acmTags(c.Tags())
	}
	out, err := c.Client.acm().ImportCertificate(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("importing ACM Certificate: %w", err)
	}
	return aws.ToString(out.CertificateArn), nil, nil
}

func findCertificate(ctx context.Context, c *Client, arn string) (*types.CertificateDetail, error) {
	out, err := c.acm().DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
	if is(err, certificateGone) {
		return nil, engine.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading ACM Certificate (%s): %w", arn, err)
	}
	return out.Certificate, nil
}

func readCertificate(ctx context.Context, c *call) (m, error) {
	d, err := findCertificate(ctx, c.Client, c.ID)
	if err != nil {
		return nil, err
	}
	state := m{
		"arn": c.ID, "domainName": aws.ToString(d.DomainName), "status": string(d.Status), "type": string(d.Type), "keyAlgorithm": readKeyAlgorithm(d.KeyAlgorithm),
		"notAfter": stamp(d.NotAfter), "notBefore": stamp(d.NotBefore), "renewalEligibility": string(d.RenewalEligibility),
		"pendingRenewal": false, "renewalSummaries": []any{}, "certificateAuthorityArn": aws.ToString(d.CertificateAuthorityArn),
		"subjectAlternativeNames": engine.SortedList(d.SubjectAlternativeNames),
	}
	records, emails, method := []any{}, []any{}, ""
	seen := map[string]bool{}
	for _, o := range d.DomainValidationOptions {
		if o.ValidationMethod != "" {
			method = string(o.ValidationMethod)
		}
		for _, e := range o.ValidationEmails {
			emails = append(emails, e)
		}
		r := o.ResourceRecord
		if r == nil {
			continue
		}
		if method == "" {
			method = string(types.ValidationMethodDns)
		}
		name := aws.ToString(o.DomainName)
		if seen[name] {
			continue
		}
		seen[name] = true
		records = append(records, m{
			"domainName": name, "resourceRecordName": aws.ToString(r.Name), "resourceRecordType": string(r.Type), "resourceRecordValue": aws.ToString(r.Value),
		})
	}
	state["domainValidationOptions"], state["validationEmails"], state["validationMethod"] = records, emails, method
	if method == "" {
		state["validationMethod"] = "NONE"
	}
	tags, err := c.Client.acm().ListTagsForCertificate(ctx, &acm.ListTagsForCertificateInput{CertificateArn: &c.ID})
	if optional(err) != nil {
		return nil, fmt.Errorf("listing tags of ACM Certificate (%s): %w", c.ID, err)
	}
	state["tags"] = m{}
	if err == nil {
		all := m{}
		for _, t := range tags.Tags {
			all[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		state["tags"] = all
	}
	return state, nil
}

// readKeyAlgorithm gives the API's two spellings of an algorithm (RSA-2048, RSA_2048) one form.
func readKeyAlgorithm(a types.KeyAlgorithm) string { return strings.ReplaceAll(string(a), "-", "_") }

func updateCertificate(ctx context.Context, c *call) (m, error) {
	if c.HasChanged("certificateBody", "privateKey", "certificateChain") {
		if _, _, err := importCertificate(ctx, c, &c.ID); err != nil {
			return nil, err
		}
	}
	if c.Changed["options"] {
		if _, err := c.Client.acm().UpdateCertificateOptions(ctx, &acm.UpdateCertificateOptionsInput{
			CertificateArn: &c.ID, Options: certificateOptions(engine.Obj(c.In, "options")),
		}); err != nil {
			return nil, fmt.Errorf("updating ACM Certificate (%s) options: %w", c.ID, err)
		}
	}
	set, remove := c.TagChanges()
	if len(remove) > 0 {
		var tags []types.Tag
		for _, k := range remove {
			tags = append(tags, types.Tag{Key: aws.String(k)})
		}
		if _, err := c.Client.acm().RemoveTagsFromCertificate(ctx, &acm.RemoveTagsFromCertificateInput{CertificateArn: &c.ID, Tags: tags}); err != nil {
			return nil, fmt.Errorf("removing tags of ACM Certificate (%s): %w", c.ID, err)
		}
	}
	if len(set) > 0 {
		if _, err := c.Client.acm().AddTagsToCertificate(ctx, &acm.AddTagsToCertificateInput{CertificateArn: &c.ID, Tags: acmTags(set)}); err != nil {
			return nil, fmt.Errorf("setting tags of ACM Certificate (%s): %w", c.ID, err)
		}
	}
	return nil, nil
}

func deleteCertificate(ctx context.Context, c *call) error {
	err := engine.Retry(ctx, dependencyWait, func(err error) bool { return is(err, "ResourceInUseException") }, func(ctx context.Context) error {
		_, err := c.Client.acm().DeleteCertificate(ctx, &acm.DeleteCertificateInput{CertificateArn: &c.ID})
		return err
	})
	if err = absent(err, certificateGone); err != nil {
		return fmt.Errorf("deleting ACM Certificate (%s): %w", c.ID, err)
	}
	return nil
}

// --- Validation

// issuedID is the text of a certificate's time of issue, the zero time while it has none.
func issuedID(d *types.CertificateDetail) string { return aws.ToTime(d.IssuedAt).UTC().String() }

func createValidation(ctx context.Context, c *call) (string, m, error) {
	arn := engine.Str(c.In, "certificateArn")
	d, err := findCertificate(ctx, c.Client, arn)
	if err != nil {
		return "", nil, fmt.Errorf("reading ACM Certificate (%s): %w", arn, err)
	}
	if d.Type != types.CertificateTypeAmazonIssued {
		return "", nil, fmt.Errorf("ACM Certificate (%s) has type %s, no validation necessary", arn, d.Type)
	}
	if err := validatedBy(d, engine.Strs(c.In, "validationRecordFqdns")); err != nil {
		return "", nil, err
	}
	id := issuedID(d)
	err = engine.Wait(ctx, 75*time.Minute, "ACM Certificate ("+arn+") to be issued", func(ctx context.Context) (bool, error) {
		d, err := findCertificate(ctx, c.Client, arn)
		if err != nil {
			return false, err
		}
		switch d.Status {
		case types.CertificateStatusIssued:
			return true, nil
		case types.CertificateStatusFailed, types.CertificateStatusValidationTimedOut, types.CertificateStatusRevoked, types.CertificateStatusExpired:
			return false, fmt.Errorf("waiting for ACM Certificate (%s) to be issued: unexpected state '%s': %s", arn, d.Status, d.FailureReason)
		}
		return false, nil
	})
	if err != nil {
		return "", nil, err
	}
	return id, nil, nil
}

// validatedBy checks that the records that a program made are all that the certificate asks for.
func validatedBy(d *types.CertificateDetail, fqdns []string) error {
	if len(fqdns) == 0 {
		return nil
	}
	have := map[string]bool{}
	for _, f := range fqdns {
		have[strings.TrimSuffix(f, ".")] = true
	}
	var missing []string
	for _, o := range d.DomainValidationOptions {
		if o.ValidationMethod != "" && o.ValidationMethod != types.ValidationMethodDns {
			return fmt.Errorf("validation_record_fqdns is not valid for %s validation", o.ValidationMethod)
		}
		if o.ResourceRecord == nil {
			continue
		}
		if name := strings.TrimSuffix(aws.ToString(o.ResourceRecord.Name), "."); !have[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing ACM Certificate validation records: %s", strings.Join(missing, ", "))
	}
	return nil
}

func readValidation(ctx context.Context, c *call) (m, error) {
	arn := engine.Str(c.Old, "certificateArn")
	d, err := findCertificate(ctx, c.Client, arn)
	if err != nil {
		return nil, err
	}
	if d.Status != types.CertificateStatusIssued {
		return nil, engine.ErrGone
	}
	return m{"certificateArn": arn}, nil
}
