package main

import "k3s-aws-auth/scripts/internal/setups"

func nodeDrills() []*Drill {
	shut := Expectation{Kept: Works, Fresh: Works, New: Fails, Error: noCredentials}
	return []*Drill{
		{
			ID: "node-role-abused", Title: "node role taken from a pod",
			Does:     "start a pod without an identity on an agent and let it ask the machine for its credentials (nothing is changed)",
			Told:     toldNothing,
			Expect:   either(setups.Setup.ShutsMetadata, shut, unaffected),
			Note:     "In instance-profile any pod gets in: that is the setup. Elsewhere the hop limit of the metadata service keeps it out.",
			Stranger: true,
		},
		{
			ID: "injection-missing", Title: "webhook or admission policy missing",
			Does:   "delete the binding of the admission policy that gives pods their identity, and later make it again",
			Told:   toldAlways("injector-fails"),
			Expect: where(setups.Setup.ShutsMetadata, Expectation{Kept: Works, Fresh: Works, New: Fails, Error: noCredentials, Restart: []View{New}}, noInjection),
			Note: "Pods that exist go on: what was injected is in their manifests. A pod that was made meanwhile never gets its identity, and " +
				"has to be made again.",
			Ordinary: true,
			Absent:   noInjector,
			Inject:   unbindInjection,
		},
	}
}
