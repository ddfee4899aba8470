package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rolesanywhere"
	"github.com/spf13/cobra"

	"k3s-aws-auth/components/rules"
	"k3s-aws-auth/scripts/internal/cli"
	"k3s-aws-auth/scripts/rotate/internal/stackedit"
	"k3s-aws-auth/stacks/config"
)

// change is what is done in one phase: whether it is done, the world shows.
type change struct {
	what string
	// edit changes the file; a change that is there already is left.
	edit func(w *world, f *stackedit.File) error
	// missing is what the world does not show yet.
	missing func(ctx context.Context, w *world) ([]string, error)
	// then says what holds afterwards, and when.
	then func(w *world) string
	// flags are those of the update; empty for a change of the file alone.
	flags func(w *world) ([]string, error)
	// most is how long the world may take after the update.
	most time.Duration
}

// do makes a change, and waits until the world shows it.
func (o *options) do(ctx context.Context, c *change) error {
	if o.step || o.edit && o.plan {
		return cli.Usage(errors.New("this is one phase: it has no --step, and --plan and --edit exclude each other"))
	}
	p, err := here(ctx, o.dir, o.stack, o.lab, o.out)
	if err != nil {
		return err
	}
	w, err := p.look(ctx)
	if err != nil {
		return err
	}
	f, err := stackedit.Open(p.file())
	if err != nil {
		return err
	}
	if err := c.edit(w, f); err != nil {
		return err
	}
	if o.plan {
		fmt.Fprintf(o.out, "1. deploy: %s\n   then look until AWS and the cluster show it\n%s\n", c.what, c.then(w))
		return nil
	}
	changed, err := f.Save()
	if err != nil {
		return err
	}
	if o.edit {
		fmt.Fprintf(o.out, "%s says: %s. Commit it, and have it applied\n", p.file(), c.what)
		return nil
	}
	missing, err := c.missing(ctx, w)
	if err != nil {
		return err
	}
	if len(missing) > 0 || changed {
		fmt.Fprintf(o.out, "to do: %s\n", c.what)
		var flags []string
		if c.flags != nil {
			if flags, err = c.flags(w); err != nil {
				return err
			}
		}
		if err := p.up(ctx, o.mode, o.in, flags...); err != nil {
			return err
		}
	}
	said := ""
	for begin := time.Now(); ; {
		if w, err = p.look(ctx); err != nil {
			return err
		}
		if missing, err = c.missing(ctx, w); err != nil {
			return err
		}
		if len(missing) == 0 {
			fmt.Fprintf(o.out, "done: %s\n%s\n", c.what, c.then(w))
			return nil
		}
		if time.Since(begin) > c.most {
			return fmt.Errorf("%s is deployed, and after %s the world does not show it: %s", c.what, c.most, strings.Join(missing, "; "))
		}
		if text := strings.Join(missing, "; "); text != said {
			said = text
			fmt.Fprintf(o.out, "waiting: %s\n", text)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// consistent is how long IAM may take to answer everywhere with what it was told, in this tool's patience.
const consistent = 5 * time.Minute

// identity finds an identity of a name, and its place in the list.
func (w *world) identity(name string) (int, config.Identity, error) {
	var names []string
	for i, identity := range w.config.Identities {
		if identity.Name == name {
			return i, identity, nil
		}
		names = append(names, identity.Name)
	}
	return 0, config.Identity{}, cli.Usage(fmt.Errorf("found %q: must be the name of an identity: %s", name, strings.Join(names, ", ")))
}

func identityArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usage(fmt.Errorf("%s takes one identity, found %q", cmd.Name(), args))
	}
	return nil
}

// roleOf is the role of an identity.
func (w *world) roleOf(name string) (string, error) {
	_, identity, err := w.identity(name)
	if err != nil {
		return "", err
	}
	return w.state.Named("aws:iam/role:Role", w.resource(identity.Account().Key()+"-role"), "name")
}

// statement is the statement of an id in the documents of a role: in its trust policy, and in its own policies.
func (w *world) statements(ctx context.Context, role, sid string) (trust, own string, err error) {
	client := iam.NewFromConfig(w.aws)
	found, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &role})
	if err != nil {
		return "", "", err
	}
	if trust, err = statement(aws.ToString(found.Role.AssumeRolePolicyDocument), sid); err != nil {
		return "", "", err
	}
	for pages := iam.NewListRolePoliciesPaginator(client, &iam.ListRolePoliciesInput{RoleName: &role}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return "", "", err
		}
		for _, name := range page.PolicyNames {
			policy, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &name})
			if err != nil {
				return "", "", err
			}
			one, err := statement(aws.ToString(policy.PolicyDocument), sid)
			if err != nil {
				return "", "", err
			}
			own += one
		}
	}
	return trust, own, nil
}

// statement is the statement of an id in a document as IAM gives it; empty where there is none.
func statement(document, sid string) (string, error) {
	text, err := url.QueryUnescape(document)
	if err != nil {
		return "", err
	}
	var policy struct{ Statement []json.RawMessage }
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return "", fmt.Errorf("a policy of IAM: %w", err)
	}
	for _, raw := range policy.Statement {
		var s struct{ Sid string }
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("a policy of IAM: %w", err)
		}
		if s.Sid == sid {
			return string(raw), nil
		}
	}
	return "", nil
}

func suspendCommand(o *options) *cobra.Command {
	var undo, keep bool
	cmd := &cobra.Command{
		Use:   "suspend IDENTITY",
		Short: "Shut an identity out at once, with its running sessions; --undo opens it again",
		Long: `Nobody can become the identity, and its sessions may do nothing, until "suspend --undo" or "resume". Opened again, sessions
from before stay shut until they end, unless --keep-sessions: they are what was suspended.`,
		Example: "  rotate suspend uploader\n  rotate suspend uploader --undo",
		Args:    identityArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if undo {
				return o.do(cmd.Context(), resume(args[0], keep))
			}
			return o.do(cmd.Context(), suspend(args[0]))
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&undo, "undo", false, "as resume")
	cmd.Flags().BoolVar(&keep, "keep-sessions", false, "with --undo: sessions from before work again")
	return cmd
}

func resumeCommand(o *options) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:     "resume IDENTITY",
		Short:   "Open a suspended identity again",
		Example: "  rotate resume uploader",
		Args:    identityArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd.Context(), resume(args[0], keep))
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&keep, "keep-sessions", false, "sessions from before work again")
	return cmd
}

func suspend(name string) *change {
	return &change{
		what: name + " is suspended",
		most: consistent,
		edit: func(w *world, f *stackedit.File) error {
			i, _, err := w.identity(name)
			if err != nil {
				return err
			}
			return f.SetIn(i, "suspended", true, "identities")
		},
		missing: func(ctx context.Context, w *world) ([]string, error) {
			role, err := w.roleOf(name)
			if err != nil {
				return nil, err
			}
			trust, own, err := w.statements(ctx, role, "Suspended")
			var missing []string
			if trust == "" {
				missing = append(missing, "role "+role+" can still be assumed")
			}
			if own == "" {
				missing = append(missing, "sessions of role "+role+" are not denied yet")
			}
			return missing, err
		},
		then: func(*world) string {
			return "Nobody can become " + name + ", and its sessions may do nothing but ask who they are (sts:GetCallerIdentity)."
		},
	}
}

func resume(name string, keep bool) *change {
	before := ""
	return &change{
		what: name + " is open again",
		most: consistent,
		edit: func(w *world, f *stackedit.File) error {
			i, identity, err := w.identity(name)
			if err != nil {
				return err
			}
			before = identity.RevokeSessionsBefore
			if identity.Suspended && !keep {
				before = w.now.UTC().Format(time.RFC3339)
				if err := f.SetIn(i, "revokeSessionsBefore", before, "identities"); err != nil {
					return err
				}
			}
			return f.SetIn(i, "suspended", nil, "identities")
		},
		missing: func(ctx context.Context, w *world) ([]string, error) {
			role, err := w.roleOf(name)
			if err != nil {
				return nil, err
			}
			trust, own, err := w.statements(ctx, role, "Suspended")
			if err != nil {
				return nil, err
			}
			_, revoked, err := w.statements(ctx, role, "RevokeSessionsBefore")
			var missing []string
			if trust+own != "" {
				missing = append(missing, "role "+role+" is still suspended")
			}
			if !strings.Contains(revoked, before) {
				missing = append(missing, "sessions from before "+before+" are not denied yet")
			}
			return missing, err
		},
		then: func(*world) string {
			if before == "" {
				return "Sessions from before work again."
			}
			return "Sessions from before " + before + " may do nothing until they end."
		},
	}
}

func revokeCommand(o *options) *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:   "revoke SERIAL|IDENTITY...",
		Short: "Refuse new sessions for certificates; --undo takes it back",
		Long: `Revokes certificates by their serial numbers in hexadecimal (the stack's output identities[].certificateSerial), or
whatever certificate an identity has at present, a renewed one too. For a certificate that was stolen: revoke its serial
number, and then renew it by "rotate leaf".`,
		Example: "  rotate revoke 4f1c0e\n  rotate revoke uploader\n  rotate revoke uploader --undo",
		Args:    certificateArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd.Context(), revoke(args, undo))
		},
	}
	cli.Strict(cmd)
	cmd.Flags().BoolVar(&undo, "undo", false, "as unrevoke")
	return cmd
}

func unrevokeCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "unrevoke SERIAL|IDENTITY...",
		Short:   "Let revoked certificates get sessions again",
		Example: "  rotate unrevoke uploader",
		Args:    certificateArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.do(cmd.Context(), revoke(args, true))
		},
	}
	cli.Strict(cmd)
	return cmd
}

func certificateArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cli.Usage(fmt.Errorf("%s takes serial numbers or identities", cmd.Name()))
	}
	return nil
}

// serials are the serial numbers that an entry of rolesAnywhere.revoked stands for:
// one, or those of all service accounts of an identity.
func (w *world) serials(ctx context.Context, entry string) ([]*big.Int, error) {
	for _, identity := range w.config.Identities {
		if identity.Name != entry {
			continue
		}
		var all []*big.Int
		for _, who := range identity.Accounts() {
			leaf, err := w.leaf(ctx, who)
			if err != nil {
				return nil, err
			}
			all = append(all, leaf.SerialNumber)
		}
		return all, nil
	}
	if must := rules.Serial(entry); must != "" {
		return nil, cli.Usage(fmt.Errorf("found %q: must be the name of an identity, or %s", entry, must))
	}
	n, _ := new(big.Int).SetString(entry, 16)
	return []*big.Int{n}, nil
}

// revokedSerials are the serial numbers in each revocation list of the stack's trust anchor that counts.
func (w *world) revokedSerials(ctx context.Context) ([][]*big.Int, error) {
	arn, err := w.anchor()
	if err != nil {
		return nil, err
	}
	var lists [][]*big.Int
	for pages := rolesanywhere.NewListCrlsPaginator(rolesanywhere.NewFromConfig(w.aws), &rolesanywhere.ListCrlsInput{}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, crl := range page.Crls {
			if aws.ToString(crl.TrustAnchorArn) != arn || !aws.ToBool(crl.Enabled) {
				continue
			}
			der := crl.CrlData
			if block, _ := pem.Decode(der); block != nil {
				der = block.Bytes
			}
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				return nil, fmt.Errorf("revocation list %s: %w", aws.ToString(crl.Name), err)
			}
			var serials []*big.Int
			for _, e := range list.RevokedCertificateEntries {
				serials = append(serials, e.SerialNumber)
			}
			lists = append(lists, serials)
		}
	}
	return lists, nil
}

func revoke(entries []string, undo bool) *change {
	verb := "revoked"
	if undo {
		verb = "not revoked any more"
	}
	return &change{
		what: strings.Join(entries, ", ") + ": " + verb,
		most: consistent,
		edit: func(w *world, f *stackedit.File) error {
			if err := kinds["ca"].check(w.config); err != nil {
				return err
			}
			for _, entry := range entries {
				if _, err := w.serials(context.Background(), entry); err != nil {
					return err
				}
			}
			list := slices.Clone(w.config.RolesAnywhere.Revoked)
			for _, entry := range entries {
				list = slices.DeleteFunc(list, func(e string) bool { return e == entry })
				if !undo {
					list = append(list, entry)
				}
			}
			if len(list) == 0 {
				f.Remove("rolesAnywhere", "revoked")
				return nil
			}
			return f.SetTexts(list, "rolesAnywhere", "revoked")
		},
		missing: func(ctx context.Context, w *world) ([]string, error) {
			lists, err := w.revokedSerials(ctx)
			if err != nil {
				return nil, err
			}
			var missing []string
			for _, entry := range entries {
				serials, err := w.serials(ctx, entry)
				if err != nil {
					return nil, err
				}
				for _, n := range serials {
					in := 0
					for _, list := range lists {
						if slices.ContainsFunc(list, func(s *big.Int) bool { return s.Cmp(n) == 0 }) {
							in++
						}
					}
					if cas := len(w.config.CASet()); !undo && in != cas {
						missing = append(missing, fmt.Sprintf("%s (%x) is in the lists of %d of %d CAs", entry, n, in, cas))
					} else if undo && in != 0 {
						missing = append(missing, fmt.Sprintf("%s (%x) is still in %d lists", entry, n, in))
					}
				}
			}
			return missing, nil
		},
		then: func(w *world) string {
			if undo {
				return "They get sessions again."
			}
			end := w.now.Add(time.Duration(w.config.RolesAnywhere.SessionSeconds) * time.Second)
			return "They get no new sessions. Sessions that run end by " + end.UTC().Format(time.RFC3339) + " at the latest; suspend shuts them at once."
		},
	}
}

// leafCommand renews certificates.
func leafCommand(o *options) *cobra.Command {
	var before string
	cmd := &cobra.Command{
		Use:   "leaf [IDENTITY]",
		Short: "Renew the certificate of an identity, or of all, with a new private key",
		Long: `Renews certificates that were issued before a moment, by default now: run again, it renews them again, which harms nobody.
Pods that run get the new one within two minutes, and present it for their next session. The old one stays good until its
end: revoke it by its serial number where it was stolen.`,
		Example: "  rotate leaf\n  rotate leaf uploader\n  rotate leaf --before 2026-11-30T12:00:00Z",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return cli.Usage(fmt.Errorf("%s takes one identity at most, found %q", cmd.Name(), args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var at time.Time
			if before != "" {
				var err error
				if at, err = time.Parse(time.RFC3339, before); err != nil {
					return cli.Usage(fmt.Errorf("--before: found %q: must be a moment such as 2026-11-30T12:00:00Z", before))
				}
			}
			if o.edit {
				return cli.Usage(errors.New("leaf changes no file: it has no --edit"))
			}
			return o.do(cmd.Context(), renew(args, at))
		},
	}
	cli.Strict(cmd)
	cmd.Flags().StringVar(&before, "before", "", "`MOMENT` (RFC 3339): renew certificates that were issued before it; now, where it is left out")
	return cmd
}

func renew(only []string, before time.Time) *change {
	what := "all certificates are renewed"
	if len(only) > 0 {
		what = "the certificate of " + only[0] + " is renewed"
	}
	due := func(w *world) ([]config.Identity, error) {
		if len(only) == 0 {
			return w.config.Identities, nil
		}
		_, identity, err := w.identity(only[0])
		return []config.Identity{identity}, err
	}
	return &change{
		what: what,
		most: consistent,
		edit: func(w *world, _ *stackedit.File) error {
			if before.IsZero() {
				before = w.now
			}
			_, err := due(w)
			return errors.Join(err, kinds["ca"].check(w.config))
		},
		// Without a file to say so, what is to be renewed is named to the update: the certificate by which all are due, or the
		// key of one.
		flags: func(w *world) ([]string, error) {
			if len(only) == 0 {
				urn, err := w.state.URN("tls:index/selfSignedCert:SelfSignedCert", w.resource("leaf-renewal-clock"))
				return []string{"--replace", urn}, err
			}
			_, identity, err := w.identity(only[0])
			if err != nil {
				return nil, err
			}
			var flags []string
			for _, who := range identity.Accounts() {
				urn, err := w.state.URN("tls:index/privateKey:PrivateKey", w.resource(who.Key()+"-leaf-key"))
				if err != nil {
					return nil, err
				}
				flags = append(flags, "--replace", urn)
			}
			return flags, nil
		},
		missing: func(ctx context.Context, w *world) ([]string, error) {
			identities, err := due(w)
			if err != nil {
				return nil, err
			}
			var missing []string
			for _, identity := range identities {
				for _, who := range identity.Accounts() {
					leaf, err := w.leaf(ctx, who)
					if err != nil {
						return nil, err
					}
					// Certificates know whole seconds.
					if leaf.NotBefore.Before(before.Truncate(time.Second)) {
						missing = append(missing, fmt.Sprintf("that of %s is from %s", who.Key(), leaf.NotBefore.UTC().Format(time.RFC3339)))
					}
				}
			}
			return missing, nil
		},
		then: func(*world) string {
			return "Pods that run have it within " + delivered.String() + ", and present it for their next session."
		},
	}
}
