package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	require.NoError(t, err, text)
	return d
}

// statement wraps one statement's body into a document.
func statement(t testing.TB, body string) *Document {
	return mustParse(t, `{"Version":"2012-10-17","Statement":[{`+body+`}]}`)
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":            {`nonsense`, "invalid character"},
		"a list":              {`[]`, "not an object"},
		"text after":          {`{"Statement":[]} x`, "text after"},
		"no statement":        {`{"Version":"2012-10-17"}`, "no Statement"},
		"unknown version":     {`{"Version":"2020-01-01","Statement":[]}`, "Version"},
		"unknown element":     {`{"Statments":[]}`, `unknown element "Statments"`},
		"repeated element":    {`{"Statement":[],"Statement":[]}`, "repeated"},
		"effect in lower":     {`{"Statement":{"Effect":"allow","Action":"s3:*","Resource":"*"}}`, "Effect"},
		"no effect":           {`{"Statement":{"Action":"s3:*","Resource":"*"}}`, "Effect"},
		"no action":           {`{"Statement":{"Effect":"Allow","Resource":"*"}}`, "neither Action"},
		"action twice":        {`{"Statement":{"Effect":"Allow","Action":"a:b","NotAction":"a:c","Resource":"*"}}`, "both Action"},
		"resource twice":      {`{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","NotResource":"*"}}`, "both Resource"},
		"principal twice":     {`{"Statement":{"Effect":"Allow","Action":"a:b","Principal":"*","NotPrincipal":"*"}}`, "both Principal"},
		"principal text":      {`{"Statement":{"Effect":"Allow","Action":"a:b","Principal":"123"}}`, "Principal"},
		"principal kind":      {`{"Statement":{"Effect":"Allow","Action":"a:b","Principal":{"Aws":"*"}}}`, "unknown kind"},
		"condition list":      {`{"Statement":{"Effect":"Allow","Action":"a:b","Condition":[]}}`, "Condition is not"},
		"operator not object": {`{"Statement":{"Effect":"Allow","Action":"a:b","Condition":{"StringEquals":"x"}}}`, "not an object"},
		"null value":          {`{"Statement":{"Effect":"Allow","Action":"a:b","Condition":{"StringEquals":{"a:b":null}}}}`, "not a string"},
		"number action":       {`{"Statement":{"Effect":"Allow","Action":1}}`, "not a string"},
		"duplicate sid":       {`{"Statement":[{"Sid":"a","Effect":"Allow","Action":"a:b"},{"Sid":"a","Effect":"Allow","Action":"a:b"}]}`, "not unique"},
		"deep":                {strings.Repeat(`{"Statement":`, 20) + "1" + strings.Repeat("}", 20), "too deeply"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			require.ErrorIs(t, err, ErrSyntax)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		kind Kind
		body string
		want string
	}{
		"identity":                      {Identity, `"Effect":"Allow","Action":"s3:*","Resource":"*"`, ""},
		"identity with principal":       {Identity, `"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"`, "should not specify a principal"},
		"identity without resource":     {Identity, `"Effect":"Allow","Action":"s3:*"`, "must contain resources"},
		"identity with empty resources": {Identity, `"Effect":"Allow","Action":"s3:*","Resource":[]`, "must contain resources"},
		"no actions":                    {Identity, `"Effect":"Allow","Action":[],"Resource":"*"`, "must contain actions"},
		"action without vendor":         {Identity, `"Effect":"Allow","Action":"PutObject","Resource":"*"`, "prefaced by a vendor"},
		"resource not ARN":              {Identity, `"Effect":"Allow","Action":"s3:*","Resource":"bucket"`, "must be in ARN format"},
		"unknown operator":              {Identity, `"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"a:b":"c"}}`, "Invalid Condition type : StringIs"},
		"key without vendor":            {Identity, `"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"ab":"c"}}`, "prefaced by a vendor"},
		"trust":                         {Trust, `"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}`, ""},
		"trust with resource":           {Trust, `"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"`, "prohibited field Resource"},
		"trust without principal":       {Trust, `"Effect":"Allow","Action":"sts:AssumeRole"`, "Missing required field Principal"},
		"trust with empty principal":    {Trust, `"Effect":"Allow","Action":"sts:AssumeRole","Principal":{}`, "cannot be empty"},
		"bucket":                        {ResourceBased, `"Effect":"Allow","Action":"s3:GetObject","Principal":"*","Resource":"arn:aws:s3:::b/*"`, ""},
		"bucket without principal":      {ResourceBased, `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, "Missing required field Principal"},
	} {
		t.Run(name, func(t *testing.T) {
			err := statement(t, c.body).Validate(c.kind)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	require.Error(t, mustParse(t, `{"Statement":[]}`).Validate(Identity))
}

func TestActionsAndResources(t *testing.T) {
	const object = "arn:aws:s3:::bucket/in/a.json"
	for name, c := range map[string]struct {
		body             string
		action, resource string
		context          map[string][]string
		want             bool
	}{
		"exact":                       {`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/in/a.json"`, "s3:PutObject", object, nil, true},
		"action ignores case":         {`"Action":"S3:putobject","Resource":"*"`, "s3:PutObject", object, nil, true},
		"action star":                 {`"Action":"s3:Put*","Resource":"*"`, "s3:PutObject", object, nil, true},
		"action question":             {`"Action":"s3:P?tObject","Resource":"*"`, "s3:PutObject", object, nil, true},
		"other action":                {`"Action":"s3:GetObject","Resource":"*"`, "s3:PutObject", object, nil, false},
		"longer action":               {`"Action":"s3:PutObject","Resource":"*"`, "s3:PutObjectAcl", object, nil, false},
		"all actions":                 {`"Action":"*","Resource":"*"`, "s3:PutObject", object, nil, true},
		"not action":                  {`"NotAction":"iam:*","Resource":"*"`, "s3:PutObject", object, nil, true},
		"not action excluded":         {`"NotAction":["iam:*","s3:Put*"],"Resource":"*"`, "s3:PutObject", object, nil, false},
		"prefix":                      {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/in/*"`, "s3:PutObject", object, nil, true},
		"outside of prefix":           {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/in/*"`, "s3:PutObject", "arn:aws:s3:::bucket/out/a.json", nil, false},
		"prefix trick":                {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/in/*"`, "s3:PutObject", "arn:aws:s3:::bucket/inner/a.json", nil, false},
		"resource keeps case":         {`"Action":"s3:*","Resource":"arn:aws:s3:::Bucket/*"`, "s3:PutObject", object, nil, false},
		"bucket is not objects":       {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket"`, "s3:PutObject", object, nil, false},
		"star stays in its segment":   {`"Action":"s3:*","Resource":"arn:aws:*:bucket/*"`, "s3:PutObject", object, nil, false},
		"star ends a segment":         {`"Action":"s3:*","Resource":"arn:aws:s3:*:bucket/*"`, "s3:PutObject", object, nil, true},
		"star ends it behind a word":  {`"Action":"s3:*","Resource":"arn:aws:s3:x*:bucket/*"`, "s3:PutObject", object, nil, false},
		"star within a segment":       {`"Action":"s3:*","Resource":"arn:aws:s3:*a:bucket/*"`, "s3:PutObject", "arn:aws:s3:b:a:bucket/x", nil, false},
		"star again beyond it":        {`"Action":"s3:*","Resource":"arn:aws:s3:*:b?:c*d"`, "s3:PutObject", "arn:aws:s3:r:1:bb:c:d:cd", nil, true},
		"star in segments":            {`"Action":"s3:*","Resource":"arn:*:s3:*:*:buck?t/*"`, "s3:PutObject", object, nil, true},
		"not resource":                {`"Action":"s3:*","NotResource":"arn:aws:s3:::other/*"`, "s3:PutObject", object, nil, true},
		"not resource excluded":       {`"Action":"s3:*","NotResource":["arn:aws:s3:::bucket/*"]`, "s3:PutObject", object, nil, false},
		"colon in the last segment":   {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/a:*"`, "s3:GetObject", "arn:aws:s3:::bucket/a:b:c", nil, true},
		"variable":                    {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:username}/*"`, "s3:PutObject", "arn:aws:s3:::bucket/ann/x", map[string][]string{"aws:username": {"ann"}}, true},
		"variable of another":         {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:username}/*"`, "s3:PutObject", "arn:aws:s3:::bucket/bob/x", map[string][]string{"aws:username": {"ann"}}, false},
		"variable is not a wildcard":  {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:username}/*"`, "s3:PutObject", "arn:aws:s3:::bucket/bob/x", map[string][]string{"aws:username": {"*"}}, false},
		"variable missing":            {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:username}*"`, "s3:PutObject", "arn:aws:s3:::bucket/x", nil, false},
		"variable with default":       {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'none'}/*"`, "s3:PutObject", "arn:aws:s3:::bucket/none/x", nil, true},
		"tag variable":                {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*"`, "s3:PutObject", "arn:aws:s3:::bucket/red/x", map[string][]string{"aws:principaltag/team": {"red"}}, true},
		"escaped star":                {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${*}"`, "s3:PutObject", "arn:aws:s3:::bucket/x", nil, false},
		"escaped star is a character": {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${*}${?}${$}"`, "s3:PutObject", "arn:aws:s3:::bucket/*?$", nil, true},
		"unclosed variable":           {`"Action":"s3:*","Resource":"arn:aws:s3:::bucket/${x"`, "s3:PutObject", "arn:aws:s3:::bucket/${x", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := Evaluate(Request{Action: c.action, Resource: c.resource, Context: c.context}, statement(t, `"Effect":"Allow",`+c.body))
			require.Equal(t, c.want, got.Decision == Allow, "%+v", got)
		})
	}
	t.Run("no variables in the old version", func(t *testing.T) {
		d := mustParse(t, `{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}"}}`)
		req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/ann", Context: map[string][]string{"aws:username": {"ann"}}}
		require.Equal(t, ImplicitDeny, Evaluate(req, d).Decision)
		req.Resource = "arn:aws:s3:::b/${aws:username}"
		require.Equal(t, Allow, Evaluate(req, d).Decision)
	})
}

func TestPrincipals(t *testing.T) {
	session := &Principal{ARN: "arn:aws:sts::111122223333:assumed-role/app/pod", RoleARN: "arn:aws:iam::111122223333:role/app", Account: "111122223333"}
	user := &Principal{ARN: "arn:aws:iam::111122223333:user/admin", Account: "111122223333"}
	service := &Principal{Service: "cloudfront.amazonaws.com"}
	web := &Principal{Federated: "arn:aws:iam::111122223333:oidc-provider/issuer.example"}
	for name, c := range map[string]struct {
		element string
		who     *Principal
		want    PrincipalMatch
	}{
		"any and anonymous":       {`"Principal":"*"`, nil, MatchAny},
		"any and user":            {`"Principal":{"AWS":"*"}`, user, MatchAny},
		"any AWS and anonymous":   {`"Principal":{"AWS":"*"}`, nil, MatchAny},
		"account number":          {`"Principal":{"AWS":"111122223333"}`, session, MatchAccount},
		"account root":            {`"Principal":{"AWS":"arn:aws:iam::111122223333:root"}`, user, MatchAccount},
		"other account":           {`"Principal":{"AWS":"arn:aws:iam::444455556666:root"}`, user, NoPrincipal},
		"account and anonymous":   {`"Principal":{"AWS":"111122223333"}`, nil, NoPrincipal},
		"role of session":         {`"Principal":{"AWS":"arn:aws:iam::111122223333:role/app"}`, session, MatchRole},
		"session":                 {`"Principal":{"AWS":["arn:aws:iam::111122223333:role/x","arn:aws:sts::111122223333:assumed-role/app/pod"]}`, session, MatchExact},
		"other session":           {`"Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/app/other"}`, session, NoPrincipal},
		"no wildcards in ARNs":    {`"Principal":{"AWS":"arn:aws:iam::111122223333:role/*"}`, session, NoPrincipal},
		"user":                    {`"Principal":{"AWS":"arn:aws:iam::111122223333:user/admin"}`, user, MatchExact},
		"service":                 {`"Principal":{"Service":"cloudfront.amazonaws.com"}`, service, MatchExact},
		"other service":           {`"Principal":{"Service":"ec2.amazonaws.com"}`, service, NoPrincipal},
		"service is not a user":   {`"Principal":{"Service":"cloudfront.amazonaws.com"}`, user, NoPrincipal},
		"federated":               {`"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/issuer.example"}`, web, MatchExact},
		"other federated":         {`"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/issuer.example2"}`, web, NoPrincipal},
		"web is not the account":  {`"Principal":{"AWS":"111122223333"}`, web, NoPrincipal},
		"not principal":           {`"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/other"}`, user, MatchAny},
		"not principal, excluded": {`"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/admin"}`, user, NoPrincipal},
		"not principal, account":  {`"NotPrincipal":{"AWS":"111122223333"}`, user, NoPrincipal},
		"canonical user":          {`"Principal":{"CanonicalUser":"abc"}`, user, NoPrincipal},
	} {
		t.Run(name, func(t *testing.T) {
			d := statement(t, `"Effect":"Allow","Action":"s3:GetObject","Resource":"*",`+c.element)
			got := Evaluate(Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Principal: c.who}, d)
			require.Equal(t, c.want, got.Match)
			require.Equal(t, c.want != NoPrincipal, got.Decision == Allow)
		})
	}
}

func TestConditions(t *testing.T) {
	context := map[string][]string{
		"aws:SourceIp":                     {"10.1.2.3"},
		"aws:CurrentTime":                  {"2026-05-01T12:00:00Z"},
		"aws:EpochTime":                    {"1777636800"},
		"aws:SecureTransport":              {"true"},
		"aws:SourceArn":                    {"arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/abc"},
		"aws:PrincipalTag/x509Subject/CN":  {"default.uploader"},
		"aws:TagKeys":                      {"team", "cost"},
		"issuer.example/path:sub":          {"system:serviceaccount:default:uploader"},
		"s3:max-keys":                      {"10"},
		"aws:PrincipalTag/bin":             {"aGVsbG8="},
		"aws:username":                     {"ann"},
		"s3:prefix":                        {"home/ann/docs"},
		"aws:PrincipalTag/star":            {"a*c"},
		"issuer.example/path:aud":          {"sts.amazonaws.com"},
		"aws:RequestTag/EmptyValue":        {""},
		"aws:PrincipalTag/x509SAN/Name/CN": {},
	}
	for _, c := range []struct {
		condition string
		want      bool
	}{
		{`{"StringEquals":{"issuer.example/path:sub":"system:serviceaccount:default:uploader"}}`, true},
		{`{"StringEquals":{"ISSUER.example/path:SUB":"system:serviceaccount:default:uploader"}}`, true},
		{`{"StringEquals":{"issuer.example/path:sub":"system:serviceaccount:default:Uploader"}}`, false},
		{`{"StringEquals":{"issuer.example/path:sub":"system:serviceaccount:default:*"}}`, false},
		{`{"StringEquals":{"issuer.example/path:sub":["x","system:serviceaccount:default:uploader"]}}`, true},
		{`{"StringEquals":{"issuer.example/path:sub":"system:serviceaccount:default:uploader","issuer.example/path:aud":"other"}}`, false},
		{`{"StringEquals":{"issuer.example/path:amr":"x"}}`, false},
		{`{"StringEquals":{"issuer.example/path:sub":[]}}`, false},
		{`{"StringNotEquals":{"issuer.example/path:sub":"x"}}`, true},
		{`{"StringNotEquals":{"issuer.example/path:sub":["x","system:serviceaccount:default:uploader"]}}`, false},
		{`{"StringNotEquals":{"issuer.example/path:amr":"x"}}`, true},
		{`{"StringEqualsIfExists":{"issuer.example/path:amr":"x"}}`, true},
		{`{"StringEqualsIfExists":{"issuer.example/path:aud":"x"}}`, false},
		{`{"StringEqualsIgnoreCase":{"issuer.example/path:aud":"STS.amazonaws.com"}}`, true},
		{`{"StringNotEqualsIgnoreCase":{"issuer.example/path:aud":"STS.amazonaws.com"}}`, false},
		{`{"StringLike":{"issuer.example/path:sub":"system:serviceaccount:default:*"}}`, true},
		{`{"StringLike":{"issuer.example/path:sub":"system:serviceaccount:?efault:uploader"}}`, true},
		{`{"StringLike":{"issuer.example/path:sub":"system:serviceaccount:other:*"}}`, false},
		{`{"StringNotLike":{"issuer.example/path:sub":"system:*"}}`, false},
		{`{"StringLike":{"s3:prefix":"home/${aws:username}/*"}}`, true},
		{`{"StringLike":{"s3:prefix":"home/${aws:userid}/*"}}`, false},
		{`{"StringNotLike":{"s3:prefix":"home/${aws:userid}/*"}}`, false},
		{`{"StringEquals":{"aws:PrincipalTag/star":"a*c"}}`, true},
		{`{"StringLike":{"aws:PrincipalTag/star":"a${*}c"}}`, true},
		{`{"StringEquals":{"aws:RequestTag/EmptyValue":""}}`, true},
		{`{"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/abc"}}`, true},
		{`{"ArnEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:*:111122223333:trust-anchor/*"}}`, true},
		{`{"ArnLike":{"aws:SourceArn":"arn:aws:rolesanywhere:*:trust-anchor/abc"}}`, false},
		{`{"ArnNotEquals":{"aws:SourceArn":"arn:aws:rolesanywhere:eu-central-1:111122223333:trust-anchor/abc"}}`, false},
		{`{"ArnNotLike":{"aws:SourceArn":"arn:aws:rolesanywhere:*:*:trust-anchor/xyz"}}`, true},
		{`{"NumericEquals":{"s3:max-keys":10}}`, true},
		{`{"NumericEquals":{"s3:max-keys":"10.0"}}`, true},
		{`{"NumericNotEquals":{"s3:max-keys":"10"}}`, false},
		{`{"NumericLessThan":{"s3:max-keys":"10"}}`, false},
		{`{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, true},
		{`{"NumericGreaterThan":{"s3:max-keys":"9"}}`, true},
		{`{"NumericGreaterThanEquals":{"s3:max-keys":"11"}}`, false},
		{`{"NumericEquals":{"s3:max-keys":"ten"}}`, false},
		{`{"NumericEquals":{"s3:max-keys":"NaN"}}`, false},
		{`{"DateLessThan":{"aws:CurrentTime":"2026-05-01T12:00:01Z"}}`, true},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2026-05-01"}}`, true},
		{`{"DateEquals":{"aws:EpochTime":"1777636800"}}`, true},
		{`{"DateNotEquals":{"aws:EpochTime":"1777636800"}}`, false},
		{`{"DateLessThanEquals":{"aws:CurrentTime":"1777636800"}}`, true},
		{`{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-05-01T14:00:01+02:00"}}`, false},
		{`{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`, false},
		{`{"Bool":{"aws:SecureTransport":"true"}}`, true},
		{`{"Bool":{"aws:SecureTransport":true}}`, true},
		{`{"Bool":{"aws:SecureTransport":"True"}}`, true},
		{`{"Bool":{"aws:SecureTransport":"false"}}`, false},
		{`{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`, false},
		{`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}`, true},
		{`{"BinaryEquals":{"aws:PrincipalTag/bin":"aGVsbG8="}}`, true},
		{`{"BinaryEquals":{"aws:PrincipalTag/bin":"aGVsbG8"}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, true},
		{`{"IpAddress":{"aws:SourceIp":["192.168.0.0/16","10.1.2.3"]}}`, true},
		{`{"IpAddress":{"aws:SourceIp":"10.1.2.4/32"}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"::/0"}}`, false},
		{`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, false},
		{`{"NotIpAddress":{"aws:SourceIp":"192.168.0.0/16"}}`, true},
		{`{"Null":{"aws:TokenIssueTime":"true"}}`, true},
		{`{"Null":{"aws:TokenIssueTime":false}}`, false},
		{`{"Null":{"aws:username":"false"}}`, true},
		{`{"Null":{"aws:username":"true"}}`, false},
		{`{"Null":{"aws:PrincipalTag/x509SAN/Name/CN":"true"}}`, true},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":["team","x"]}}`, true},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":["x"]}}`, false},
		{`{"ForAnyValue:StringEquals":{"aws:Absent":["x"]}}`, false},
		{`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team"]}}`, true},
		{`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team","cost"]}}`, false},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost","more"]}}`, true},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`, false},
		{`{"ForAllValues:StringEquals":{"aws:Absent":["team"]}}`, true},
		{`{"ForAllValues:StringLike":{"aws:TagKeys":["t*","c*"]}}`, true},
		{`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["x"]}}`, true},
		{`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["team"]}}`, false},
		{`{"ForAnyValue:StringEqualsIfExists":{"aws:Absent":["x"]}}`, true},
		{`{"StringEquals":{"aws:TagKeys":"cost"}}`, true},
		{`{"StringNotEquals":{"aws:TagKeys":"cost"}}`, false},
	} {
		t.Run(c.condition, func(t *testing.T) {
			d := statement(t, `"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":`+c.condition)
			require.NoError(t, d.Validate(Identity))
			got := Evaluate(Request{Action: "s3:GetObject", Resource: "*", Context: context}, d)
			require.Equal(t, c.want, got.Decision == Allow, "%+v", got)
			require.Equal(t, c.want, len(got.Notes) == 0, "a denial explains itself: %+v", got)
			denied := statement(t, `"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":`+c.condition)
			require.Equal(t, c.want, Evaluate(Request{Action: "s3:GetObject", Resource: "*", Context: context}, denied).Decision == ExplicitDeny)
		})
	}
}

func TestUnknownOperatorDenies(t *testing.T) {
	for _, operator := range []string{"StringIs", "ForSomeValues:StringEquals", "ForAnyValue:Null", "StringEqualsifexists", "NullIfExists", ""} {
		t.Run(operator, func(t *testing.T) {
			condition := fmt.Sprintf(`,"Condition":{%q:{"aws:username":"ann"}}`, operator)
			allow := statement(t, `"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"`+condition)
			req := Request{Action: "s3:GetObject", Resource: "*", Context: map[string][]string{"aws:username": {"ann"}}}
			got := Evaluate(req, allow)
			require.Equal(t, ImplicitDeny, got.Decision)
			require.Len(t, got.Notes, 1)
			require.Contains(t, got.Notes[0], "statement A: unknown")
			deny := statement(t, `"Effect":"Deny","Action":"*","Resource":"*"`+condition)
			got = Evaluate(req, deny, statement(t, `"Effect":"Allow","Action":"*","Resource":"*"`))
			require.Equal(t, ExplicitDeny, got.Decision)
			require.Contains(t, got.Notes[0], "unknown")
		})
	}
}

func TestPrecedence(t *testing.T) {
	allow := statement(t, `"Sid":"yes","Effect":"Allow","Action":"s3:*","Resource":"*"`)
	deny := statement(t, `"Sid":"no","Effect":"Deny","Action":"s3:Delete*","Resource":"*"`)
	deny.Source = "guard"
	req := Request{Action: "s3:DeleteObject", Resource: "arn:aws:s3:::b/k"}
	for _, docs := range [][]*Document{{allow, deny}, {deny, allow}, {deny}} {
		got := Evaluate(req, docs...)
		require.Equal(t, ExplicitDeny, got.Decision)
		require.Equal(t, "no", got.SID)
		require.Equal(t, "guard", got.Source)
	}
	req.Action = "s3:GetObject"
	require.Equal(t, Allow, Evaluate(req, deny, nil, allow).Decision)
	require.Equal(t, ImplicitDeny, Evaluate(req, deny).Decision)
	require.Equal(t, ImplicitDeny, Evaluate(req).Decision)
}

func TestAuthorize(t *testing.T) {
	docs := func(bodies ...string) []*Document {
		out := []*Document{}
		for _, b := range bodies {
			out = append(out, statement(t, b))
		}
		return out
	}
	const (
		allow       = `"Effect":"Allow","Action":"s3:*","Resource":"*"`
		other       = `"Effect":"Allow","Action":"ec2:*","Resource":"*"`
		deny        = `"Effect":"Deny","Action":"s3:*","Resource":"*"`
		forSession  = allow + `,"Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/app/pod"}`
		forRole     = allow + `,"Principal":{"AWS":"arn:aws:iam::111122223333:role/app"}`
		forAll      = allow + `,"Principal":"*"`
		forAccount  = allow + `,"Principal":{"AWS":"111122223333"}`
		forService  = allow + `,"Principal":{"Service":"cloudfront.amazonaws.com"}`
		denyAccount = deny + `,"Principal":{"AWS":"111122223333"}`
	)
	session := &Principal{ARN: "arn:aws:sts::111122223333:assumed-role/app/pod", RoleARN: "arn:aws:iam::111122223333:role/app", Account: "111122223333"}
	service := &Principal{Service: "cloudfront.amazonaws.com"}
	for name, c := range map[string]struct {
		in    Input
		who   *Principal
		want  Decision
		layer Layer
	}{
		"nothing":                       {Input{}, session, ImplicitDeny, LayerIdentity},
		"identity":                      {Input{Identity: docs(allow)}, session, Allow, LayerIdentity},
		"identity denies":               {Input{Identity: docs(allow, deny)}, session, ExplicitDeny, LayerIdentity},
		"resource only, role":           {Input{Resource: docs(forRole)}, session, Allow, LayerResource},
		"resource only, any":            {Input{Resource: docs(forAll)}, session, Allow, LayerResource},
		"resource only, account":        {Input{Resource: docs(forAccount)}, session, ImplicitDeny, LayerIdentity},
		"resource denies":               {Input{Identity: docs(allow), Resource: docs(denyAccount)}, session, ExplicitDeny, LayerResource},
		"boundary allows":               {Input{Identity: docs(allow), Boundary: docs(allow)}, session, Allow, LayerIdentity},
		"boundary lacks":                {Input{Identity: docs(allow), Boundary: docs(other)}, session, ImplicitDeny, LayerBoundary},
		"boundary gone":                 {Input{Identity: docs(allow), Boundary: docs()}, session, ImplicitDeny, LayerBoundary},
		"boundary alone grants nothing": {Input{Boundary: docs(allow)}, session, ImplicitDeny, LayerIdentity},
		"boundary denies":               {Input{Identity: docs(allow), Boundary: docs(allow, deny)}, session, ExplicitDeny, LayerBoundary},
		"session allows":                {Input{Identity: docs(allow), Session: docs(allow)}, session, Allow, LayerIdentity},
		"session lacks":                 {Input{Identity: docs(allow), Session: docs(other)}, session, ImplicitDeny, LayerSession},
		"session denies":                {Input{Identity: docs(allow), Session: docs(deny)}, session, ExplicitDeny, LayerSession},
		"session alone grants nothing":  {Input{Session: docs(allow)}, session, ImplicitDeny, LayerIdentity},
		"role grant within session":     {Input{Resource: docs(forRole), Session: docs(other)}, session, ImplicitDeny, LayerSession},
		"session grant beyond session":  {Input{Resource: docs(forSession), Session: docs(other), Boundary: docs(other)}, session, Allow, LayerResource},
		"session deny over its grant":   {Input{Resource: docs(forSession), Session: docs(deny)}, session, ExplicitDeny, LayerSession},
		"must allow, identity only":     {Input{Identity: docs(allow), ResourceMustAllow: true}, session, ImplicitDeny, LayerResource},
		"must allow, account":           {Input{Resource: docs(forAccount), ResourceMustAllow: true}, session, ImplicitDeny, LayerIdentity},
		"must allow, both":              {Input{Identity: docs(allow), Resource: docs(forAccount), ResourceMustAllow: true}, session, Allow, LayerIdentity},
		"anonymous, nothing":            {Input{}, nil, ImplicitDeny, LayerResource},
		"anonymous, any":                {Input{Resource: docs(forAll)}, nil, Allow, LayerResource},
		"anonymous, role":               {Input{Resource: docs(forRole)}, nil, ImplicitDeny, LayerResource},
		"service":                       {Input{Resource: docs(forService)}, service, Allow, LayerResource},
		"service, not named":            {Input{Resource: docs(forRole)}, service, ImplicitDeny, LayerResource},
		"service ignores account deny":  {Input{Resource: docs(forService, denyAccount)}, service, Allow, LayerResource},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Request = Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::b/k", Principal: c.who}
			got := Authorize(c.in)
			require.Equal(t, c.want, got.Decision)
			require.Equal(t, c.layer, got.Layer)
			require.Equal(t, c.want == Allow, got.Allowed())
		})
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, text := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/*"}]}`,
		`{"Statement":{"Effect":"Deny","NotAction":["a:*"],"NotResource":"*","Condition":{"ForAllValues:StringLike":{"a:b":["*","?"]}}}}`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Condition":{"Bogus":{"a:b":true}}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"${x, '::/0'}"}}}}`,
	} {
		f.Add(text, "s3:GetObject", "arn:aws:s3:::b/ann/k", "ann")
	}
	f.Fuzz(func(t *testing.T, text, action, resource, value string) {
		d, err := Parse([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("error without sentinel: %v", err)
			}
			return
		}
		_ = d.Validate(Identity)
		req := Request{Action: action, Resource: resource, Context: map[string][]string{"aws:username": {value}, "a:b": {value, ""}},
			Principal: &Principal{ARN: value, Account: value}}
		got := Evaluate(req, d)
		if again := Evaluate(req, d); fmt.Sprint(again) != fmt.Sprint(got) {
			t.Fatalf("not deterministic: %v, %v", got, again)
		}
		// A Deny of everything wins over whatever the document says.
		everything := &Document{Statements: []Statement{{Effect: "Deny", Actions: []string{"*"}, Resources: []string{"*"}}}}
		if r := Evaluate(req, d, everything); r.Decision != ExplicitDeny {
			t.Fatalf("deny does not win: %v", r)
		}
		// Without an Allow statement nothing is allowed.
		allows := false
		for _, s := range d.Statements {
			allows = allows || s.Effect == "Allow"
		}
		if !allows && got.Decision == Allow {
			t.Fatal("allowed without an Allow statement")
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		compiled, _, ok := compile(pattern, Version2008, nil)
		if !ok {
			t.Fatal("a pattern without variables always compiles")
		}
		got := glob(compiled, []rune(text))
		if len(pattern) < 12 && len(text) < 12 && got != slowGlob([]rune(pattern), []rune(text)) {
			t.Fatalf("glob(%q, %q) = %v", pattern, text, got)
		}
	})
}

// slowGlob is the definition.
func slowGlob(p, s []rune) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	if p[0] == '*' {
		for i := 0; i <= len(s); i++ {
			if slowGlob(p[1:], s[i:]) {
				return true
			}
		}
		return false
	}
	return len(s) > 0 && (p[0] == '?' || p[0] == s[0]) && slowGlob(p[1:], s[1:])
}
