package config

import "strings"

// suggest returns the choice that word was probably meant to be, or "". Letter
// case is not a difference, since keys differ from each other by more.
func suggest(word string, choices []string) string {
	limit := max(1, len(word)/3)
	best, found := "", limit+1
	for _, choice := range choices {
		// A difference in length is already that many edits; skipping here
		// keeps absurdly long keys cheap.
		if difference := len(word) - len(choice); difference >= found || -difference >= found {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(choice)); d < found {
			best, found = choice, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of two words: insertions,
// deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	previous, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], previous[j-2]+1)
			}
		}
		previous, row = row, next
	}
	return row[len(b)]
}

// didYouMean is the end of a problem about an unknown word.
func didYouMean(word string, choices []string) string {
	if s := suggest(word, choices); s != "" {
		return " (did you mean " + s + "?)"
	}
	return ""
}
