package ssm

import (
	"crypto/rand"
	"encoding/base64"
	"math"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"k3s-aws-auth/scripts/internal/policy"
	"k3s-aws-auth/scripts/lab/internal/gate"
	"k3s-aws-auth/scripts/lab/internal/gate/catalog"
)

// parameter with all its versions, oldest first.
type parameter struct {
	name, kind, tier, description, dataType, pattern, key string
	versions                                              []version
	tags                                                  map[string]string
}

type version struct {
	number int64
	value  string // sealed for SecureString
	at     time.Time
	by     string
}

func (p *parameter) latest() version { return p.versions[len(p.versions)-1] }

const (
	typeString, typeList, typeSecure = "String", "StringList", "SecureString"
	tierStandard, tierAdvanced       = "Standard", "Advanced"
	tierIntelligent                  = "Intelligent-Tiering"
	maxStandard, maxAdvanced         = 4096, 8192
	defaultKey                       = "alias/aws/ssm"
	maxVersions                      = 100
)

type tag struct{ Key, Value string }

type putInput struct {
	Name, Value, Type, Description, KeyId, AllowedPattern, DataType, Tier string //nolint:revive // AWS's member names
	Overwrite                                                             bool
	Tags                                                                  []tag
}

func needPut(s *Service, c *gate.Call, in *putInput) []policy.Request {
	r := s.need(c, "PutParameter", in.Name)
	out := []policy.Request{r}
	if len(in.Tags) > 0 {
		t := s.need(c, "AddTagsToResource", in.Name)
		for _, x := range in.Tags {
			for _, m := range []map[string][]string{r.Context, t.Context} {
				m["aws:RequestTag/"+x.Key] = []string{x.Value}
				m["aws:TagKeys"] = append(m["aws:TagKeys"], x.Key)
			}
		}
		out = append(out, t)
	}
	return out
}

func validation(format string, args ...any) error {
	return gate.Errorf(http.StatusBadRequest, "ValidationException", format, args...)
}

func notFound() error {
	return &gate.Error{Code: "ParameterNotFound", Status: http.StatusBadRequest}
}

var nameSyntax = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func checkName(name string) error {
	lower := strings.ToLower(strings.TrimPrefix(name, "/"))
	switch {
	case !nameSyntax.MatchString(name) || strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return validation("Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return validation("Parameter name must be a fully qualified name.")
	case strings.HasPrefix(lower, "ssm"):
		return validation("Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	case strings.HasPrefix(lower, "aws"):
		return gate.Errorf(http.StatusBadRequest, "AccessDeniedException", "No access to reserved parameter name: %s.", name)
	case len(name) > 1011:
		return validation("Parameter name must not be longer than 1011 characters.")
	case strings.Count(name, "/") > 15:
		return gate.Errorf(http.StatusBadRequest, "HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels.")
	}
	return nil
}

func (s *Service) put(c *gate.Call, in *putInput) (any, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	params := s.region(c.Region)
	old, exists := params[in.Name]
	switch {
	case in.Overwrite && len(in.Tags) > 0:
		return nil, validation("Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	case exists && !in.Overwrite:
		return nil, gate.Errorf(http.StatusBadRequest, "ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case in.Value == "":
		return nil, validation("1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	}
	kind := in.Type
	if kind == "" && exists {
		kind = old.kind
	}
	switch kind {
	case typeString, typeList, typeSecure:
	case "":
		return nil, validation("A parameter type is required when you create a parameter.")
	default:
		return nil, gate.Errorf(http.StatusBadRequest, "UnsupportedParameterType", "The parameter type is not supported: %s", kind)
	}
	if in.KeyId != "" && (kind != typeSecure || in.KeyId != defaultKey) {
		return nil, gate.NotImplemented("a KMS key other than " + defaultKey)
	}
	tier, err := chooseTier(in, old)
	if err != nil {
		return nil, err
	}
	dataType := in.DataType
	if dataType == "" {
		dataType = "text"
	}
	if dataType != "text" && dataType != "aws:ec2:image" {
		return nil, validation("The following data type is not supported: %s (Data type names are all lowercase.)", dataType)
	}
	if dataType == "aws:ec2:image" && kind != typeString {
		return nil, validation("The data type aws:ec2:image needs a parameter of type String.")
	}
	if in.AllowedPattern != "" {
		re, err := regexp.Compile(in.AllowedPattern)
		if err != nil {
			return nil, gate.Errorf(http.StatusBadRequest, "InvalidAllowedPatternException", "The request does not meet the regular expression requirement: %v", err)
		}
		if !re.MatchString(in.Value) {
			return nil, gate.Errorf(http.StatusBadRequest, "ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", in.AllowedPattern)
		}
	}
	p := old
	if !exists {
		p = &parameter{name: in.Name, tags: map[string]string{}}
		params[in.Name] = p
	}
	p.kind, p.tier, p.dataType, p.pattern = kind, tier, dataType, in.AllowedPattern
	if in.Description != "" || !exists {
		p.description = in.Description
	}
	value := in.Value
	p.key = ""
	if kind == typeSecure {
		p.key = defaultKey
		value = s.sealed(in.Name, value)
	}
	number := int64(1)
	if exists {
		number = p.latest().number + 1
	}
	p.versions = append(p.versions, version{number: number, value: value, at: c.Time, by: caller(c)})
	if len(p.versions) > maxVersions {
		p.versions = p.versions[1:]
	}
	for _, t := range in.Tags {
		p.tags[t.Key] = t.Value
	}
	return map[string]any{"Version": number, "Tier": tier}, nil
}

// chooseTier applies the tiers' limits, which count characters.
func chooseTier(in *putInput, old *parameter) (string, error) {
	size, tier := len([]rune(in.Value)), in.Tier
	if tier == "" {
		tier = tierStandard
		if old != nil {
			tier = old.tier
		}
	}
	if tier == tierIntelligent {
		tier = tierStandard
		if size > maxStandard || (old != nil && old.tier == tierAdvanced) {
			tier = tierAdvanced
		}
	}
	switch {
	case tier != tierStandard && tier != tierAdvanced:
		return "", validation("1 validation error detected: Value '%s' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]", tier)
	case tier == tierStandard && old != nil && old.tier == tierAdvanced:
		return "", validation("This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")
	case tier == tierStandard && size > maxStandard:
		return "", validation("Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html")
	case size > maxAdvanced:
		return "", validation("Advanced tier parameters support a maximum parameter value of 8192 characters.")
	}
	return tier, nil
}

// sealed and opened encrypt a SecureString; the name is bound to the ciphertext.
func (s *Service) sealed(name, value string) string {
	nonce := make([]byte, s.seal.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(s.seal.Seal(nonce, nonce, []byte(value), []byte(name)))
}

func (s *Service) opened(name, value string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(b) < s.seal.NonceSize() {
		return "", gate.Errorf(http.StatusInternalServerError, "InternalServerError", "sealed value of %s is damaged", name)
	}
	n := s.seal.NonceSize()
	plain, err := s.seal.Open(nil, b[:n], b[n:], []byte(name))
	if err != nil {
		return "", gate.Errorf(http.StatusInternalServerError, "InternalServerError", "sealed value of %s does not open", name)
	}
	return string(plain), nil
}

func caller(c *gate.Call) string {
	if c.Principal == nil {
		return ""
	}
	return c.Principal.ARN
}

// lookup finds a parameter and the version that a selector names: a number, or nothing for the latest.
func (s *Service) lookup(region, name string) (*parameter, version, error) {
	plain, selector := bare(name)
	p, ok := s.region(region)[plain]
	if !ok {
		if value, ok := catalog.PublicParameters(region)[plain]; ok {
			p = &parameter{name: plain, kind: typeString, tier: tierStandard, dataType: "aws:ec2:image",
				versions: []version{{number: 1, value: value, at: time.Date(2026, 4, 5, 12, 0, 0, 0, time.UTC)}}}
			return p, p.latest(), nil
		}
		return nil, version{}, notFound()
	}
	if selector == "" {
		return p, p.latest(), nil
	}
	number, err := strconv.ParseInt(selector, 10, 64)
	for _, v := range p.versions {
		if err == nil && v.number == number {
			return p, v, nil
		}
	}
	return nil, version{}, gate.Errorf(http.StatusBadRequest, "ParameterVersionNotFound",
		"Systems Manager could not find version %s of %s. Verify the version and try again.", selector, plain)
}

func epoch(t time.Time) float64 { return math.Round(float64(t.UnixMilli())) / 1000 }

func (s *Service) view(region, asked string, p *parameter, v version, decrypt bool) (map[string]any, error) {
	value := v.value
	if p.kind == typeSecure && decrypt {
		var err error
		if value, err = s.opened(p.name, value); err != nil {
			return nil, err
		}
	}
	out := map[string]any{"ARN": s.arn(region, p.name), "DataType": p.dataType, "LastModifiedDate": epoch(v.at), "Name": p.name, "Type": p.kind,
		"Value": value, "Version": v.number}
	if _, selector := bare(asked); selector != "" {
		out["Selector"] = ":" + selector
	}
	return out, nil
}

type getInput struct {
	Name           string
	WithDecryption bool
}

func needGet(s *Service, c *gate.Call, in *getInput) []policy.Request {
	return []policy.Request{s.need(c, "GetParameter", in.Name)}
}

func (s *Service) get(c *gate.Call, in *getInput) (any, error) {
	p, v, err := s.lookup(c.Region, in.Name)
	if err != nil {
		return nil, err
	}
	view, err := s.view(c.Region, in.Name, p, v, in.WithDecryption)
	return map[string]any{"Parameter": view}, err
}

type getManyInput struct {
	Names          []string
	WithDecryption bool
}

func needGetMany(s *Service, c *gate.Call, in *getManyInput) []policy.Request {
	var out []policy.Request
	for _, n := range in.Names {
		out = append(out, s.need(c, "GetParameters", n))
	}
	return out
}

func (s *Service) getMany(c *gate.Call, in *getManyInput) (any, error) {
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, validation("1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length less than or equal to 10 and greater than or equal to 1")
	}
	found, missing := []any{}, []string{}
	for _, n := range in.Names {
		p, v, err := s.lookup(c.Region, n)
		if err != nil {
			missing = append(missing, n)
			continue
		}
		view, err := s.view(c.Region, n, p, v, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		found = append(found, view)
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

type pathInput struct {
	Path                      string
	Recursive, WithDecryption bool
	MaxResults                int
	NextToken                 string
}

func needPath(s *Service, c *gate.Call, in *pathInput) []policy.Request {
	return []policy.Request{s.need(c, "GetParametersByPath", strings.TrimSuffix(in.Path, "/"))}
}

func (s *Service) byPath(c *gate.Call, in *pathInput) (any, error) {
	if !strings.HasPrefix(in.Path, "/") {
		return nil, validation("The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\".")
	}
	prefix := strings.TrimSuffix(in.Path, "/") + "/"
	all := map[string]bool{}
	for name := range s.region(c.Region) {
		all[name] = true
	}
	if strings.HasPrefix(prefix, "/aws/") {
		for name := range catalog.PublicParameters(c.Region) {
			all[name] = true
		}
	}
	var names []string
	for name := range all {
		full := name
		if !strings.HasPrefix(full, "/") {
			full = "/" + full
		}
		rest, ok := strings.CutPrefix(full, prefix)
		if ok && (in.Recursive || !strings.Contains(rest, "/")) {
			names = append(names, name)
		}
	}
	page, next, err := paginate(names, in.NextToken, in.MaxResults, 10)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, name := range page {
		p, v, err := s.lookup(c.Region, name)
		if err != nil {
			return nil, err
		}
		view, err := s.view(c.Region, name, p, v, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		out = append(out, view)
	}
	return withToken(map[string]any{"Parameters": out}, next), nil
}

// paginate sorts names and returns one page and the token of the next. A token is the last name that was given out.
func paginate(names []string, token string, limit, most int) (page []string, next string, err error) {
	if limit == 0 {
		limit = most
	}
	if limit < 1 || limit > most {
		return nil, "", validation("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to %d", limit, most)
	}
	sort.Strings(names)
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, "", gate.Errorf(http.StatusBadRequest, "InvalidNextToken", "The specified token is not valid.")
	}
	if token != "" {
		names = names[sort.Search(len(names), func(i int) bool { return names[i] > string(after) }):]
	}
	if len(names) > limit {
		names = names[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(names[limit-1]))
	}
	return names, next, nil
}

func withToken(out map[string]any, next string) map[string]any {
	if next != "" {
		out["NextToken"] = next
	}
	return out
}

type historyInput struct {
	Name           string
	WithDecryption bool
	MaxResults     int
	NextToken      string
}

func needHistory(s *Service, c *gate.Call, in *historyInput) []policy.Request {
	return []policy.Request{s.need(c, "GetParameterHistory", in.Name)}
}

func (s *Service) history(c *gate.Call, in *historyInput) (any, error) {
	p, _, err := s.lookup(c.Region, in.Name)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, v := range p.versions {
		view, err := s.view(c.Region, p.name, p, v, in.WithDecryption)
		if err != nil {
			return nil, err
		}
		delete(view, "ARN")
		view["Tier"], view["LastModifiedUser"], view["Labels"] = p.tier, v.by, []string{}
		out = append(out, view)
	}
	return map[string]any{"Parameters": out}, nil
}

type describeInput struct {
	ParameterFilters []struct {
		Key, Option string
		Values      []string
	}
	MaxResults int
	NextToken  string
}

func needDescribe(s *Service, c *gate.Call, _ *describeInput) []policy.Request {
	return []policy.Request{{Action: "ssm:DescribeParameters", Resource: s.g.ARN("ssm", c.Region, "*")}}
}

func (s *Service) describe(c *gate.Call, in *describeInput) (any, error) {
	var names []string
	for name, p := range s.region(c.Region) {
		keep := true
		for _, f := range in.ParameterFilters {
			var have string
			switch {
			case f.Key == "Name":
				have = p.name
			case f.Key == "Type":
				have = p.kind
			case f.Key == "Tier":
				have = p.tier
			case f.Key == "DataType":
				have = p.dataType
			case strings.HasPrefix(f.Key, "tag:"):
				have = p.tags[strings.TrimPrefix(f.Key, "tag:")]
			default:
				return nil, gate.NotImplemented("parameter filter " + f.Key)
			}
			match := false
			for _, v := range f.Values {
				switch f.Option {
				case "", "Equals":
					match = match || have == v
				case "BeginsWith":
					match = match || strings.HasPrefix(have, v)
				case "Contains":
					match = match || strings.Contains(have, v)
				default:
					return nil, gate.Errorf(http.StatusBadRequest, "InvalidFilterOption", "The filter option is not valid: %s", f.Option)
				}
			}
			keep = keep && match
		}
		if keep {
			names = append(names, name)
		}
	}
	page, next, err := paginate(names, in.NextToken, in.MaxResults, 50)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, name := range page {
		p := s.region(c.Region)[name]
		v := p.latest()
		m := map[string]any{"ARN": s.arn(c.Region, name), "Name": name, "Type": p.kind, "Tier": p.tier, "DataType": p.dataType, "Version": v.number,
			"LastModifiedDate": epoch(v.at), "LastModifiedUser": v.by, "Policies": []any{}}
		for k, x := range map[string]string{"Description": p.description, "AllowedPattern": p.pattern, "KeyId": p.key} {
			if x != "" {
				m[k] = x
			}
		}
		out = append(out, m)
	}
	return withToken(map[string]any{"Parameters": out}, next), nil
}

type nameInput struct{ Name string }

func needDelete(s *Service, c *gate.Call, in *nameInput) []policy.Request {
	return []policy.Request{s.need(c, "DeleteParameter", in.Name)}
}

func (s *Service) remove(c *gate.Call, in *nameInput) (any, error) {
	if _, ok := s.region(c.Region)[in.Name]; !ok {
		return nil, notFound()
	}
	delete(s.region(c.Region), in.Name)
	return struct{}{}, nil
}

type namesInput struct{ Names []string }

func needDeleteMany(s *Service, c *gate.Call, in *namesInput) []policy.Request {
	var out []policy.Request
	for _, n := range in.Names {
		out = append(out, s.need(c, "DeleteParameters", n))
	}
	return out
}

func (s *Service) removeMany(c *gate.Call, in *namesInput) (any, error) {
	gone, missing := []string{}, []string{}
	for _, n := range in.Names {
		if _, ok := s.region(c.Region)[n]; ok {
			delete(s.region(c.Region), n)
			gone = append(gone, n)
		} else {
			missing = append(missing, n)
		}
	}
	return map[string]any{"DeletedParameters": gone, "InvalidParameters": missing}, nil
}

type tagInput struct {
	ResourceType, ResourceId string //nolint:revive // AWS's member names
	Tags                     []tag
}

func needTag(s *Service, c *gate.Call, in *tagInput) []policy.Request {
	r := s.need(c, "AddTagsToResource", in.ResourceId)
	for _, t := range in.Tags {
		r.Context["aws:RequestTag/"+t.Key] = []string{t.Value}
		r.Context["aws:TagKeys"] = append(r.Context["aws:TagKeys"], t.Key)
	}
	return []policy.Request{r}
}

// tagged finds the parameter of a tag call.
func (s *Service) tagged(region, kind, id string) (*parameter, error) {
	if kind != "Parameter" {
		return nil, gate.NotImplemented("tags of resource type " + kind)
	}
	p, ok := s.region(region)[id]
	if !ok {
		return nil, gate.Errorf(http.StatusBadRequest, "InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID and try again.")
	}
	return p, nil
}

func (s *Service) addTags(c *gate.Call, in *tagInput) (any, error) {
	p, err := s.tagged(c.Region, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		p.tags[t.Key] = t.Value
	}
	return struct{}{}, nil
}

type untagInput struct {
	ResourceType, ResourceId string //nolint:revive // AWS's member names
	TagKeys                  []string
}

func needUntag(s *Service, c *gate.Call, in *untagInput) []policy.Request {
	r := s.need(c, "RemoveTagsFromResource", in.ResourceId)
	r.Context["aws:TagKeys"] = in.TagKeys
	return []policy.Request{r}
}

func (s *Service) removeTags(c *gate.Call, in *untagInput) (any, error) {
	p, err := s.tagged(c.Region, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(p.tags, k)
	}
	return struct{}{}, nil
}

type listTagsInput struct {
	ResourceType, ResourceId string //nolint:revive // AWS's member names
}

func needListTags(s *Service, c *gate.Call, in *listTagsInput) []policy.Request {
	return []policy.Request{s.need(c, "ListTagsForResource", in.ResourceId)}
}

func (s *Service) listTags(c *gate.Call, in *listTagsInput) (any, error) {
	p, err := s.tagged(c.Region, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	out := []tag{}
	for k, v := range p.tags {
		out = append(out, tag{k, v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return map[string]any{"TagList": out}, nil
}
