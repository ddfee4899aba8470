package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Word begins the comment that accepts a danger; the verdict's code follows.
const Word = "danger-accepted"

// Note is a comment on a pull request, or a note on a merge request, with what its author may do in the repository.
type Note struct {
	Login string `json:"login"`
	// Kind is User for people, as GitHub has it; a bot accepts nothing.
	Kind string `json:"kind"`
	// Role is what the author may do: GitHub's role_name, or GitLab's access level as a word.
	Role    string    `json:"role"`
	Body    string    `json:"body"`
	Created time.Time `json:"created"`
	// Updated differs from Created where somebody has edited the note: whoever may write to a repository may edit the
	// comments of others, whose names stay above them.
	Updated time.Time `json:"updated"`
}

// mayAccept are the roles that may accept a danger.
var mayAccept = []string{"admin", "maintain", "owner", "maintainer"}

// accepted returns who has accepted the verdict with a code, and why other attempts with this code do not count.
func accepted(notes []Note, author, code string) (by string, refused []string) {
	for _, n := range notes {
		if !accepts(n.Body, code) {
			continue
		}
		why := ""
		switch {
		case n.Kind != "User":
			why = "is not a person"
		case strings.EqualFold(n.Login, author):
			why = "is the author"
		case author == "":
			why = "cannot be told from the author, who is not known"
		case !slices.Contains(mayAccept, strings.ToLower(n.Role)):
			why = "is no maintainer of the repository"
		case n.Created.IsZero() || !n.Updated.Equal(n.Created):
			why = "has a comment that was edited afterwards: write a new one"
		}
		if why == "" {
			return n.Login, nil
		}
		refused = append(refused, fmt.Sprintf("Not accepted: %s %s.", mono(n.Login), why))
	}
	return "", refused
}

// accepts tells whether a note's first line is the word and the code, with or without the backticks of the comment from
// which it was copied. What follows in other lines is the reason.
func accepts(body, code string) bool {
	line, _, _ := strings.Cut(strings.TrimSpace(body), "\n")
	return strings.Trim(strings.TrimSpace(line), "`") == Word+" "+code
}
