package account

// Levels of findings. A note is worth knowing, and nothing that has to be mended.
const (
	Error   = "error"
	Warning = "warning"
	Note    = "note"
)

// Finding is something that the account has and should not have.
type Finding struct {
	// ID is stable: what kind of finding it is, as docs/doctor.md explains it.
	ID    string `json:"id"`
	Level string `json:"level"`
	// Subject is the ARN of what it is about. Together with ID and Object it tells findings apart.
	Subject string `json:"subject"`
	// Object is a second ARN or name, such as that of a policy.
	Object string `json:"object,omitempty"`
	// Seen is what the account has, and Expected what it should have.
	Seen     string `json:"seen"`
	Expected string `json:"expected,omitempty"`
	// Condition is under which it holds, where the account alone does not tell whether that is so.
	Condition string `json:"condition,omitempty"`
	// Fix is the command that mends it, or what to do.
	Fix string `json:"fix,omitempty"`
}

// Reach is a role that pods of the cluster, or whoever has a token or certificate of it, can become.
type Reach struct {
	Role    string `json:"role"`
	InStack bool   `json:"inStack"`
	Known   bool   `json:"known,omitempty"` // accepted by whoever asked
	// Who can become it, for a reader, such as "ServiceAccount default/uploader".
	Who []string `json:"who"`
	// Accounts are the service accounts among them (namespace/name).
	Accounts []string `json:"serviceAccounts,omitempty"`
	// Via is the role from which it is assumed, where no token or certificate leads to it directly.
	Via string `json:"via,omitempty"`
	// Permissions are what it allows, each in one line; those that the stack did not give it are in Beyond too.
	Permissions []string `json:"permissions"`
	Beyond      []string `json:"beyond,omitempty"`
}

// Undecided is something that the account alone does not tell: whether a condition holds.
type Undecided struct {
	Subject string `json:"subject"`
	What    string `json:"what"`
}

// Report is what an account is found to be.
type Report struct {
	Account string `json:"account"`
	Stack   string `json:"stack,omitempty"`
	Roles   int    `json:"roles"`
	Users   int    `json:"users"`
	// Reach lists every role that the cluster can become.
	Reach    []Reach   `json:"reach"`
	Findings []Finding `json:"findings"`
	// Administrators (ARNs) may do everything in the account, so no finding is made of what they could do here.
	Administrators []string `json:"administrators,omitempty"`
	// Known are principals that whoever asked has accepted.
	Known     []string    `json:"known,omitempty"`
	Undecided []Undecided `json:"undecided,omitempty"`
	// Missing is what could not be read, or is not looked at.
	Missing []string `json:"missing,omitempty"`
}

// Failed tells whether something has to be mended.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Level != Note {
			return true
		}
	}
	return false
}
