// Command trivial is the program that `lab scale` measures this project's against: as many components and resources, which
// do nothing. How many is in its environment.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"k3s-aws-auth/scripts/lab/internal/trivial"
)

func main() {
	var size trivial.Size
	if err := json.Unmarshal([]byte(os.Getenv(trivial.SizeVariable)), &size); err != nil {
		fmt.Fprintf(os.Stderr, "trivial: %s: %v\n", trivial.SizeVariable, err)
		os.Exit(1)
	}
	pulumi.Run(trivial.Program(size))
}
