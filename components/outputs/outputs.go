// Package outputs registers what a component says of itself.
package outputs

import (
	"fmt"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Register registers the outputs of a component: every field with a tag
// `pulumi:"…"`, by that name. It ends the component.
func Register(ctx *pulumi.Context, component pulumi.ComponentResource) error {
	outputs, err := of(component)
	if err == nil {
		err = ctx.RegisterResourceOutputs(component, outputs)
	}
	if err != nil {
		return fmt.Errorf("register outputs: %w", err)
	}
	return nil
}

// of returns the tagged fields of a component. It fails for one that is no output,
// or that nobody has set.
func of(component pulumi.ComponentResource) (pulumi.Map, error) {
	values := reflect.ValueOf(component).Elem()
	outputs := pulumi.Map{}
	for _, field := range reflect.VisibleFields(values.Type()) {
		name := field.Tag.Get("pulumi")
		if name == "" || !field.IsExported() { // the SDK keeps the URN in one
			continue
		}
		value := values.FieldByIndex(field.Index)
		output, is := value.Interface().(pulumi.Output)
		if !is || value.IsZero() {
			return nil, fmt.Errorf("field %s of %T must be an output", field.Name, component)
		}
		outputs[name] = output
	}
	return outputs, nil
}
