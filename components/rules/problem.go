package rules

import "fmt"

// Problem is one thing wrong with what somebody has given. Its text is one line
// that names the key, what is there and what must be there instead.
type Problem struct {
	// Key is where it is: of a configuration the path of the value, in the syntax of
	// `pulumi config set --path`; of a part of one, what comes below the part.
	Key string
	// Found describes the value, quoted if it is text. It never shows a value that
	// Pulumi holds as a secret.
	Found string
	// Must says what the value must be.
	Must string
}

// Error implements error.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s: found %s: must be %s", p.Key, p.Found, p.Must)
}
