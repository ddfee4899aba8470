# The two commands: `make lab` proves every setup on this machine, `make test` runs the tests. Both need Go, make, git.

# No C compiler is asked for, and with one or without all that is compiled is the same: what one command has compiled, the
# next one takes.
export CGO_ENABLED = 0

SETUP ?= all
GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Builds the lab's programs where they are missing and puts their paths into the environment, for tests that start them.
WITH_TOOLS = exports="$$(go -C scripts run ./lab tools)" && eval "$$exports" &&

.PHONY: help fork generate lab doctor rotate upgrade-check refusals test test-lab race lint drill fuzz golden bench bench-cold-start bench-scale

help: ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lab: ## deploy, prove, verify and take down setups in the lab: SETUP=all or one setup, or STACK=prod; EXISTING=1: into a cluster that the program did not make; CONFIG=key=value; PLUGINS=aws=PATH for published provider plugins; KEEP=1 leaves them running
	@echo "starting the lab: compiling its first stage, some seconds on a machine that has compiled nothing yet" >&2
	@go -C scripts run ./lab run $(if $(STACK),--stack $(STACK),--setup $(SETUP)) $(if $(EXISTING),--existing) $(if $(CONFIG),--config $(CONFIG)) $(foreach p,$(PLUGINS),--plugin $(p)) $(if $(KEEP),--keep)

generate: ## write what is made of other files: the tables of docs/config.md, Pulumi.yaml's keys, the schema of stack files, pictures
	@go test -count=1 ./stacks/config -run '^TestGenerated$$' -update && go -C scripts test -count=1 ./doctor/internal/causes ./doctor/internal/chain -run '^TestGenerated$$' -update && go -C scripts run ./pictures && git status --short

fork: ## give this checkout a module path of its own, so that others can import its components: MODULE=github.com/acme/platform-identity
	@go -C scripts run ./fork "$(MODULE)"

FROM ?= $(shell git describe --tags --abbrev=0 2>/dev/null)
upgrade-check: ## deploy the git ref FROM (the last tag) in the lab and upgrade it to what is here, under a constant load of exchanges: SETUP=all or one setup
	cd scripts && go run ./upgrade --from "$(FROM)" --setup $(SETUP)

doctor: ## say where the chain from pod to AWS breaks: SETUP=one setup whose lab runs; else the cluster of KUBECONFIG and the account of your AWS credentials
	@go -C scripts run ./doctor check $(if $(filter-out all,$(SETUP)),--setup $(SETUP))

rotate: ## rotate, revoke or suspend something of a stack: ARGS="key 2026-11 --stack prod --plan"
	@go -C scripts run ./rotate $(ARGS)

refusals: ## try every caller that must be refused, in the lab: SETUP=all or one setup; ONLY=part,part of their names; CONFIG=key=value
	go -C scripts run ./refusals --setup $(SETUP) $(if $(ONLY),--only $(ONLY)) $(if $(CONFIG),--config $(CONFIG))

test: ## run all tests; those that need the lab's programs skip, see test-lab
	go test ./...
	go -C scripts test ./...

test-lab: ## run the tests that start the lab's control plane and sandbox
	$(WITH_TOOLS) go -C scripts test -count=1 -p 1 -timeout 40m ./lab/command ./lab/internal/cluster ./lab/internal/kubelet ./lab/internal/machines ./lab/internal/sandbox

RACED = ./internal/policy ./internal/sigv4 ./lab/internal/gate ./lab/internal/gate/services ./lab/internal/machines \
	./lab/internal/sandbox ./lab/internal/kubelet ./lab/internal/standin/engine
race: ## run the tests of what runs concurrently with the race detector (needs a C compiler)
	CGO_ENABLED=1 go -C scripts test -race -timeout 20m $(RACED)

lint: ## vet and lint both modules
	go vet ./... && go -C scripts vet ./...
	$(GOLANGCI_LINT) run ./...
	cd scripts && $(GOLANGCI_LINT) run ./...

drill: ## break one thing after another in labs of SETUP, and compare with what should come of it: DRILLS=id,id chooses; DOCTOR=1 asks the doctor each time; CONFIG=key=value
	cd scripts && go run ./drill --setup $(SETUP) --up --yes $(if $(DRILLS),--only $(DRILLS)) $(if $(DOCTOR),--doctor) $(if $(CONFIG),--config $(CONFIG))

FUZZTIME ?= 20s
FUZZ = -run '^$$' -fuzztime $(FUZZTIME) -fuzz
fuzz: ## run every fuzz test for FUZZTIME
	go test ./components/names $(FUZZ) '^FuzzShorten$$'
	go test ./components/iampolicy $(FUZZ) '^FuzzDocument$$'
	go test ./components/oidcissuer $(FUZZ) '^FuzzJWKS$$'
	go test ./stacks/config $(FUZZ) '^FuzzLoad$$'
	go -C scripts test ./internal/policy $(FUZZ) '^FuzzEvaluate$$'
	go -C scripts test ./internal/policy $(FUZZ) '^FuzzGlob$$'
	go -C scripts test ./doctor/internal/causes $(FUZZ) '^FuzzExplain$$'
	go -C scripts test ./doctor/internal/chain $(FUZZ) '^FuzzParse$$'
	go -C scripts test ./internal/sigv4 $(FUZZ) '^FuzzDecodeChunks$$'
	go -C scripts test ./internal/access $(FUZZ) '^FuzzCompare$$'
	go -C scripts test ./review/internal/impact $(FUZZ) '^FuzzReview$$'
	go -C scripts test ./review/internal/preview $(FUZZ) '^FuzzParse$$'
	go -C scripts test ./bench/internal/stats $(FUZZ) '^FuzzQuantile$$'
	go -C scripts test ./lab/internal/gate/ec2 $(FUZZ) '^FuzzWildcard$$'
	go -C scripts test ./lab/internal/gate/wire $(FUZZ) '^FuzzTree$$'
	go -C scripts test ./lab/internal/kubelet $(FUZZ) '^FuzzExpand$$'

golden: ## rewrite the golden files from what the program does now; it fails where one differed, so that nobody commits it unread
	@go test ./components/accesslogs ./components/alarms ./components/iampolicy ./components/injection \
		./components/instanceprofile ./components/k3s ./components/network ./components/oidcissuer ./components/podrole \
		./components/presets ./components/rolesanywhere ./components/workload ./stacks -update; failed=$$?; \
	go -C scripts test ./cost ./review ./lab/internal/rehearsal -update || failed=1; git status --short -- '*/testdata/*'; exit $$failed

bench: ## time one setup's warm `up` and `down` in the lab, several times
	LAB_BENCH=1 go -C scripts test ./lab/command -run '^$$' -bench Up -benchtime 3x -timeout 30m

IDENTITIES ?= 1,10,100,1000
bench-scale: ## time preview and up for IDENTITIES in the lab, beside as many trivial resources
	go -C scripts run ./lab scale --identities $(IDENTITIES)

RUNS ?= 30
bench-cold-start: ## time new pods of all setups in the lab, RUNS each, until STS answers them; BENCH_FLAGS for more
	go -C scripts run ./bench cold-start --up --runs $(RUNS) --dir $(CURDIR)/bench-results/$(shell date -u +%Y%m%d-%H%M%S) $(BENCH_FLAGS)
