package presets_test

import (
	"slices"
	"strings"
	"testing"

	"k3s-aws-auth/components/iampolicy"
	"k3s-aws-auth/components/internal/pulumitest"
	"k3s-aws-auth/components/presets"
)

const account = "111122223333"

// full is a preset with an entry in each list that it takes.
func full(name, partition, region string) presets.Args {
	arn := func(service, resource string) string {
		return "arn:" + partition + ":" + service + ":" + region + ":" + account + ":" + resource
	}
	args := presets.Args{
		Partition: partition, Account: account, Region: region, ClusterName: "lab",
		NodeTagKey: "k3s-aws-auth/cluster", NodeTagValue: "lab",
	}
	key := []string{arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab")}
	switch name {
	case presets.CertManager, presets.ExternalDNS:
		args.HostedZoneIDs = []string{"Z0123456789ABCDEFGHIJ", "ZOTHER"}
	case presets.EBSCSI:
		args.KMSKeyARNs = key
	case presets.ExternalSecrets, presets.SecretsStoreCSI:
		args.SecretARNs = []string{arn("secretsmanager", "secret:prod/db-AbCdEf"), arn("secretsmanager", "secret:prod/api/*")}
		args.ParameterARNs = []string{arn("ssm", "parameter/prod/*")}
		args.KMSKeyARNs = key
	}
	return args
}

func TestStatementsGolden(t *testing.T) {
	for _, name := range presets.Names() {
		for partition, region := range map[string]string{"aws": "eu-central-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"} {
			t.Run(name+" "+partition, func(t *testing.T) {
				statements, err := presets.Statements(name, full(name, partition, region))
				if err != nil {
					t.Fatal(err)
				}
				text, err := iampolicy.Permissions(statements)
				if err != nil {
					t.Fatal(err)
				}
				pulumitest.Golden(t, partition+"/"+name+".json", pulumitest.IndentJSON(t, text))
				// Whatever a preset does is in its own partition.
				for _, part := range strings.Split(text, `"arn:`)[1:] {
					if !strings.HasPrefix(part, partition+":") {
						t.Errorf("an ARN of another partition: %.60s", part)
					}
				}
			})
		}
	}
}

// A preset without optional lists has no statement about them: an empty list of
// resources would be no valid policy.
func TestStatementsOfLessThanAll(t *testing.T) {
	all := full(presets.ExternalSecrets, "aws", "eu-central-1")
	for name, tc := range map[string]struct {
		preset string
		change func(*presets.Args)
		sids   []string
	}{
		"secrets only":    {presets.ExternalSecrets, func(a *presets.Args) { a.ParameterARNs, a.KMSKeyARNs = nil, nil }, []string{"ExternalSecretsSecrets"}},
		"parameters only": {presets.SecretsStoreCSI, func(a *presets.Args) { a.SecretARNs, a.KMSKeyARNs = nil, nil }, []string{"SecretsStoreParameters"}},
		"no keys for volumes": {presets.EBSCSI, func(a *presets.Args) { a.Lists = presets.Lists{} }, []string{
			"EBSRead", "EBSMakeVolumes", "EBSMakeSnapshots", "EBSTagWhatIsMade", "EBSVolumes", "EBSSnapshots", "EBSAttachToNodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := all
			tc.change(&args)
			statements, err := presets.Statements(tc.preset, args)
			if err != nil {
				t.Fatal(err)
			}
			var sids []string
			for _, s := range statements {
				sids = append(sids, s.Sid)
			}
			if !slices.Equal(sids, tc.sids) {
				t.Errorf("statements %v, want %v", sids, tc.sids)
			}
		})
	}
}

// Only lists of what AWS cannot limit are on "*", and they read.
func TestNothingButReadingIsOnEverything(t *testing.T) {
	for _, name := range presets.Names() {
		statements, err := presets.Statements(name, full(name, "aws", "eu-central-1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if s.Effect == iampolicy.Deny || !slices.Contains(s.Resources, "*") {
				continue
			}
			for _, action := range s.Actions {
				_, verb, _ := strings.Cut(action, ":")
				if !strings.HasPrefix(verb, "Describe") && !strings.HasPrefix(verb, "List") && verb != "GetInstanceTypesFromInstanceRequirements" {
					t.Errorf("%s: %s on every resource", name, action)
				}
			}
		}
	}
}

func TestStatementsNeedWhereTheyAre(t *testing.T) {
	_, err := presets.Statements(presets.EBSCSI, presets.Args{})
	for _, field := range []string{"Partition", "Account", "Region", "ClusterName"} {
		if err == nil || !strings.Contains(err.Error(), field+" is missing") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
	if _, err := presets.Statements("cert-manger", full(presets.EBSCSI, "aws", "eu-central-1")); err == nil {
		t.Error("an unknown preset was accepted")
	}
}

func TestUsual(t *testing.T) {
	for name, want := range map[string]presets.ServiceAccount{
		presets.CertManager:       {Namespace: "cert-manager", Name: "cert-manager"},
		presets.ClusterAutoscaler: {Namespace: "kube-system", Name: "cluster-autoscaler"},
		presets.EBSCSI:            {Namespace: "kube-system", Name: "ebs-csi-controller-sa"},
		presets.ExternalDNS:       {Namespace: "external-dns", Name: "external-dns"},
		presets.ExternalSecrets:   {Namespace: "external-secrets", Name: "external-secrets"},
		presets.SecretsStoreCSI:   {},
		"":                        {},
	} {
		if got := presets.Usual(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	const (
		secret    = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:"
		parameter = "arn:aws:ssm:eu-central-1:111122223333:parameter"
		key       = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	)
	secrets := func(arns ...string) presets.Lists { return presets.Lists{SecretARNs: arns} }
	parameters := func(arns ...string) presets.Lists { return presets.Lists{ParameterARNs: arns} }
	zones := func(ids ...string) presets.Lists { return presets.Lists{HostedZoneIDs: ids} }
	keys := func(arns ...string) presets.Lists { return presets.Lists{KMSKeyARNs: arns} }
	for _, tc := range []struct {
		preset string
		lists  presets.Lists
		want   []string // "key: part of what it must be", in order
	}{
		{"", presets.Lists{}, nil},
		{"", zones("Z1ABC"), []string{"hostedZoneIds: left out without preset.name"}},
		{"cert-manger", presets.Lists{}, []string{"name: one of cert-manager, cluster-autoscaler, ebs-csi, external-dns, external-secrets, secrets-store-csi"}},

		{presets.CertManager, zones("Z0123456789ABCDEFGHIJ"), nil},
		{presets.CertManager, presets.Lists{}, []string{"hostedZoneIds: a list of Route 53 zone ids"}},
		{presets.CertManager, zones("*"), []string{"hostedZoneIds[0]: without wildcards"}},
		{presets.ExternalDNS, zones("Z1ABC", "Z1*", "/hostedzone/Z1ABC", "Z1ABC"), []string{"hostedZoneIds[1]: without wildcards", "hostedZoneIds[2]: the id", "hostedZoneIds[3]: listed once"}},
		{presets.ExternalDNS, presets.Lists{HostedZoneIDs: []string{"Z1ABC"}, SecretARNs: []string{secret + "a*"}}, []string{"secretArns: left out for preset external-dns, which takes hostedZoneIds"}},

		{presets.ExternalSecrets, presets.Lists{}, []string{"secretArns: a list of secrets' ARNs, or parameters' ARNs"}},
		{presets.ExternalSecrets, keys(key), []string{"secretArns: a list of"}},
		{presets.ExternalSecrets, secrets(secret+"prod/db-AbCdEf", secret+"prod/db-??????", secret+"prod/*"), nil},
		{presets.ExternalSecrets, secrets("*"), []string{"secretArns[0]: the ARN of a secret"}},
		{presets.ExternalSecrets, secrets(secret + "*"), []string{"secretArns[0]: not at the beginning"}},
		{presets.ExternalSecrets, secrets(secret + "??????"), []string{"secretArns[0]: not at the beginning"}},
		{presets.ExternalSecrets, secrets("arn:aws:secretsmanager:*:111122223333:secret:prod/*"), []string{"secretArns[0]: the ARN of a secret"}},
		{presets.ExternalSecrets, secrets("arn:aws:secretsmanager:eu-central-1:*:secret:prod/*"), []string{"secretArns[0]: the ARN of a secret"}},
		{presets.ExternalSecrets, secrets(secret + "prod/db"), []string{"secretArns[0]: six characters at its end"}},
		{presets.ExternalSecrets, secrets("arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:prod/*"), []string{"secretArns[0]: in partition aws"}},

		{presets.SecretsStoreCSI, parameters(parameter+"/prod/db", parameter+"/prod/*", parameter+"/k3s*aws"), []string{"parameterArns[2]: apart from /k3s-aws-auth/"}},
		{presets.SecretsStoreCSI, parameters(parameter + "*"), []string{"parameterArns[0]: the ARN of a parameter"}},
		{presets.SecretsStoreCSI, parameters(parameter + "/*"), []string{"parameterArns[0]: not at the beginning"}},
		// Signing keys of clusters, by name and by patterns that reach them.
		{presets.ExternalSecrets, parameters(parameter + "/k3s-aws-auth/lab/server/service.key"), []string{"parameterArns[0]: apart from /k3s-aws-auth/"}},
		{presets.ExternalSecrets, parameters(parameter + "/k3s-aws-auth/*"), []string{"parameterArns[0]: apart from /k3s-aws-auth/"}},
		{presets.ExternalSecrets, parameters(parameter + "/k*"), []string{"parameterArns[0]: apart from /k3s-aws-auth/"}},
		{presets.ExternalSecrets, parameters(parameter + "/k?s-aws-auth/x"), []string{"parameterArns[0]: apart from /k3s-aws-auth/"}},
		{presets.ExternalSecrets, parameters(parameter+"/k3s-aws-auth", parameter+"/k3s-aws-auth-2/x", parameter+"/kx*", parameter+"/k???"), nil},

		{presets.EBSCSI, presets.Lists{}, nil},
		{presets.EBSCSI, keys(key), nil},
		{presets.EBSCSI, keys("arn:aws:kms:eu-central-1:111122223333:alias/ebs"), []string{"kmsKeyArns[0]: not of an alias"}},
		{presets.EBSCSI, keys("arn:aws:kms:eu-central-1:111122223333:key/*"), []string{"kmsKeyArns[0]: without wildcards"}},
		{presets.ClusterAutoscaler, presets.Lists{}, nil},
		{presets.ClusterAutoscaler, zones("Z1ABC"), []string{"hostedZoneIds: which takes no lists"}},
	} {
		problems := presets.Validate(tc.preset, "aws", tc.lists)
		var got []string
		for _, p := range problems {
			got = append(got, p.Error())
		}
		if len(got) != len(tc.want) {
			t.Errorf("%s %+v: problems %q, want %q", tc.preset, tc.lists, got, tc.want)
			continue
		}
		for i, want := range tc.want {
			at, part, _ := strings.Cut(want, ": ")
			if problems[i].Key != at || problems[i].Found == "" || !strings.Contains(problems[i].Must, part) {
				t.Errorf("%s %+v: problem %q, want %q", tc.preset, tc.lists, got[i], want)
			}
		}
	}
}
