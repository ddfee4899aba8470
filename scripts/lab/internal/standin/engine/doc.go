// Package engine is the half of a stand-in provider that knows no cloud: it speaks Pulumi's resource provider protocol
// and turns the committed facts (package facts) into Check, Diff and previews that behave like those of a bridged
// Terraform provider. What a type does when it is really created, read, updated or deleted comes from a handler
// (Resource) that works on plain Go values.
//
// Rules that it follows, as the bridge does:
//   - Check fills in defaults and automatic names, and names every property that the type does not have.
//   - Diff compares the checked inputs with the old state, not with the old inputs, so that drift found by a refresh
//     shows; a computed property that the program leaves out never differs.
//   - A preview answers with what is known: inputs as given, everything that only the provider could say as unknown.
//
// Values on the inside are those of encoding/json (string, float64, bool, nil, []any, map[string]any) plus Unknown and
// *Asset. Secrets are plain inside: the protocol's flags leave it to the Pulumi engine to strip and to restore the
// secretness of inputs, and this package marks the outputs that the facts call secret.
package engine
