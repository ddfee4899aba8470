# The two commands: `make lab` proves every setup on this machine, `make test` runs the tests. Both need Go, make, git.

SETUP ?= all
GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help lab test race lint fuzz golden bench

help: ## show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

lab: ## deploy, prove, verify and take down setups in the lab: SETUP=all or one setup; KEEP=1 leaves them running
	go -C scripts run ./lab run --setup $(SETUP) $(if $(KEEP),--keep)

test: ## run all tests
	go test ./...
	go -C scripts test ./...

race: ## run the tests of what runs concurrently with the race detector (needs a C compiler)
	CGO_ENABLED=1 go -C scripts test -race ./internal/... ./lab/...

lint: ## vet and lint both modules
	go vet ./... && go -C scripts vet ./...
	$(GOLANGCI_LINT) run ./...
	cd scripts && $(GOLANGCI_LINT) run ./...

FUZZTIME ?= 20s
fuzz: ## fuzz config loading, policy evaluation and name shortening for FUZZTIME each
	./scripts/fuzz.sh $(FUZZTIME)

golden: ## rewrite the golden files from what the program does now; this run fails, so that nobody commits it unread
	-go test ./... -update
	git diff --stat

bench: ## time one setup's warm `up` in the lab, several times
	go -C scripts test ./lab -run '^$$' -bench Up -benchtime 3x -timeout 30m
