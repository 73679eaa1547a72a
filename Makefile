# Everything that a change must pass runs through here; .ci/run and the Dockerfiles call these targets and nothing else.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One set of build settings: a build that differs in any of them compiles the control plane a second time.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false
export GOTOOLCHAIN := local

VERSION ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null || echo v0.0.0-dev)
K8S_VERSION := v1.36.3
K8S_MAJOR := $(patsubst v%,%,$(word 1,$(subst ., ,$(K8S_VERSION))))
K8S_MINOR := $(word 2,$(subst ., ,$(K8S_VERSION)))

# Without the symbol table and DWARF, which only debuggers read, binaries are a quarter smaller.
LDFLAGS := -s -w -X main.version=$(VERSION)
# Without it the API server calls itself v0.0.0-master+$Format, and clients that compare versions refuse it.
K8S_LDFLAGS := -X k8s.io/component-base/version.gitVersion=$(K8S_VERSION) \
	-X k8s.io/component-base/version.gitMajor=$(K8S_MAJOR) \
	-X k8s.io/component-base/version.gitMinor=$(K8S_MINOR)

# The product, and what is kept out of its dependencies in modules of its own.
MODULES := . $(filter-out tools,$(patsubst %/go.mod,%,$(wildcard */go.mod */*/go.mod */*/*/go.mod)))

# Every folder of cmd/ with a main function is a binary.
BINARIES := $(sort $(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go)))
# Those that show Kubernetes' version are linked by themselves, with it.
K8S_VERSIONED := supercargo-sandbox supercargo-scheduler
PLAIN := $(filter-out $(K8S_VERSIONED),$(BINARIES))
COMPONENTS := scheduler provisioner recommender

BIN := bin
OUT := out
TOOLS := $(BIN)/tools
GOTESTSUM := $(TOOLS)/gotestsum
GOLANGCI_LINT := $(TOOLS)/golangci-lint
CONTROLLER_GEN := $(TOOLS)/controller-gen

# Test packages compiled and run at a time.
PARALLEL ?= 2
# A test name to run instead of all (go test -run), and the time limit of one package.
RUN ?=
TIMEOUT ?= 25m
# vet is the linter's; here it would only analyse every dependency once more.
GOTEST = go test -vet=off -timeout $(TIMEOUT) $(if $(RUN),-run '$(RUN)')
# Tests that start components find them here.
export SUPERCARGO_BIN_DIR := $(CURDIR)/$(BIN)

# Packages are discovered, so that a new one cannot be forgotten. $(call once,NAME,command): listed at the first use, once;
# a tree that does not load stops here instead of passing with fewer tests.
once = $(eval $1 := $$(shell $2))$(if $(filter-out 0,$(.SHELLSTATUS)),$(error listing packages failed))$($1)
ALL_PACKAGES = $(call once,ALL_PACKAGES,go list ./...)
# Integration: e2e, and tests elsewhere that start a world of their own, in process or as child processes.
linking = go list -test -f '{{$$$$p := .}}{{range .Deps}}{{if eq . "supercargo.dev/$1"}}{{$$$$p.ImportPath}}{{"\n"}}{{end}}{{end}}' ./... | sed -n 's/\.test$$$$//p'
CONTROL_PLANE = $(call once,CONTROL_PLANE,$(call linking,e2e/cluster))
SANDBOX = $(call once,SANDBOX,$(call linking,e2e/sandbox))
INTEGRATION_PACKAGES = $(filter-out $(NODE_PACKAGES),$(sort $(filter supercargo.dev/e2e supercargo.dev/e2e/%,$(ALL_PACKAGES)) $(CONTROL_PLANE) $(SANDBOX)))
UNIT_PACKAGES = $(filter-out $(INTEGRATION_PACKAGES) $(NODE_PACKAGES),$(ALL_PACKAGES))
# On a real node: they install packages and run containers as root, so only e2e-node runs them.
NODE_PACKAGES := supercargo.dev/e2e/node/scenarios
# Under the race detector: the pure packages and the controllers; never the control plane, which takes minutes to compile so.
NO_RACE_FOLDERS := cmd docs e2e manifests
RACE_PACKAGES = $(filter-out $(CONTROL_PLANE) $(foreach f,$(NO_RACE_FOLDERS),supercargo.dev/$(f) supercargo.dev/$(f)/%),$(ALL_PACKAGES))

TEST_UNIT = $(GOTEST) -json -p $(PARALLEL) $(UNIT_PACKAGES)
# -short leaves the long searches to the run without the detector, which is ten times as fast.
TEST_RACE = CGO_ENABLED=1 $(GOTEST) -json -p $(PARALLEL) -short -race $(RACE_PACKAGES)
# -count=1: the binaries that these tests start are no input that go test's cache knows of.
# Scenarios mostly wait for controllers that look every few seconds (all of them take 7 minutes of processor time), so more of them run
# at a time than there are cores; of one package only, since more would make components late that the scenarios give seconds.
TEST_INTEGRATION = $(GOTEST) -json -p 1 -parallel 4 -count=1 $(INTEGRATION_PACKAGES)
TEST_NODE = $(GOTEST) -json -count=1 $(NODE_PACKAGES)
# The module of benchmarks has tests of its own arithmetic and readers.
TEST_BENCH = $(subst go test,go -C e2e/bench test,$(GOTEST)) -json -p $(PARALLEL) ./...
SUMMARY := $(GOTESTSUM) --format pkgname --format-hide-empty-pkg

##@ Build

.PHONY: build
build: ## Build all binaries of cmd/ into bin/
	@mkdir -p $(BIN)
	@tools/gobuild "$(PLAIN)" -o $(BIN)/ -ldflags '$(LDFLAGS)' $(addprefix ./cmd/,$(PLAIN))
	@$(MAKE) $(addprefix $(BIN)/,$(K8S_VERSIONED))

# Go knows better than make what is out of date.
.PHONY: $(addprefix $(BIN)/,$(BINARIES))
$(addprefix $(BIN)/,$(PLAIN)): $(BIN)/%:
	@mkdir -p $(BIN)
	@tools/gobuild $* -o $@ -ldflags '$(LDFLAGS)' ./cmd/$*

$(addprefix $(BIN)/,$(K8S_VERSIONED)): $(BIN)/%:
	@mkdir -p $(BIN)
	@tools/gobuild $* -o $@ -ldflags '$(LDFLAGS) $(K8S_LDFLAGS)' ./cmd/$*

.PHONY: images
images: ## Build the three component images with docker (IMAGE_PREFIX, VERSION)
	@for c in $(COMPONENTS); do \
		docker build --build-arg VERSION=$(VERSION) -f Dockerfile.$$c -t $(IMAGE_PREFIX)supercargo-$$c:$(VERSION) .; \
	done
IMAGE_PREFIX ?= supercargo.dev/

.PHONY: clean
clean: ## Remove bin/ and out/
	rm -rf $(BIN) $(OUT)

##@ Generate

.PHONY: generate
generate: generate-api generate-karpenter-crds generate-rbac ## Write deepcopy, CRDs and RBAC from the code

.PHONY: generate-api
generate-api: $(CONTROLLER_GEN) ## ... deepcopy and CRDs of api/
	$(CONTROLLER_GEN) object paths=./api/...
	@mkdir -p manifests/crds
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=manifests/crds

.PHONY: generate-karpenter-crds
generate-karpenter-crds: ## ... Karpenter's CRDs, copied from the module that we link
	@mkdir -p manifests/crds
	install -m 0644 "$$(go list -m -f '{{.Dir}}' sigs.k8s.io/karpenter)"/pkg/apis/crds/*.yaml manifests/crds/

.PHONY: generate-rbac
generate-rbac: $(CONTROLLER_GEN) ## ... roles from the markers in cmd/*/rbac.go
	@for c in $(COMPONENTS); do \
		echo "$(CONTROLLER_GEN) rbac supercargo-$$c"; \
		$(CONTROLLER_GEN) rbac:roleName=supercargo-$$c paths=./cmd/supercargo-$$c output:rbac:dir=manifests/rbac/$$c; \
	done

GENERATED := api manifests/crds manifests/rbac

.PHONY: verify-generated
verify-generated: generate ## Fail when generated files differ from what is committed
	@changed="$$(git status --porcelain -- $(GENERATED))"; \
	if [[ -n $$changed ]]; then \
		git --no-pager diff --stat -- $(GENERATED); \
		printf 'Generated files are out of date. Run "make generate" and commit:\n%s\n' "$$changed" >&2; \
		exit 1; \
	fi; \
	echo "generated files are up to date"

.PHONY: catalog
catalog: ## Write the embedded table of instance types and prices anew (needs the module proxy)
	go -C cloudprovider/catalog/generate run . -o ../catalog.zip

##@ Check

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint on every module
	@for module in $(MODULES); do \
		echo "golangci-lint run ($$module)"; \
		(cd $$module && $(CURDIR)/$(GOLANGCI_LINT) run ./...); \
	done

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format the code as the linter wants it
	$(GOLANGCI_LINT) fmt

##@ Test

.PHONY: test
test: $(GOTESTSUM) build ## Unit tests with fuzz seeds, race detector, integration; one summary (RUN=, TIMEOUT=)
	@mkdir -p $(OUT)
	@$(SUMMARY) --jsonfile $(OUT)/test.json --raw-command -- $(MAKE) -s test-events

.PHONY: test-events
test-events: ## The stages of test as one stream of events, so that gotestsum counts them together
	@failed=0; \
	$(TEST_UNIT) || failed=1; \
	$(TEST_RACE) || failed=1; \
	$(TEST_BENCH) || failed=1; \
	$(TEST_INTEGRATION) || failed=1; \
	exit $$failed

.PHONY: test-unit
test-unit: $(GOTESTSUM) ## Unit tests and fuzz seeds only
	@$(SUMMARY) --raw-command -- $(TEST_UNIT)

.PHONY: test-race
test-race: $(GOTESTSUM) ## Pure packages and controllers under the race detector, without the long tests
	@$(SUMMARY) --raw-command -- env $(TEST_RACE)

.PHONY: test-integration
test-integration: $(GOTESTSUM) build ## Tests on the in-process control plane only
	@$(SUMMARY) --raw-command -- $(TEST_INTEGRATION)

.PHONY: e2e-node
e2e-node: $(GOTESTSUM) $(BIN)/supercargo-sandbox $(BIN)/supercargo-recommender node-programs ## The recommender on a real kubelet with real containers (root; installs containerd, runc and CNI plugins)
	@mkdir -p $(OUT)
	@SUPERCARGO_E2E_NODE=1 $(SUMMARY) --jsonfile $(OUT)/e2e-node.json --raw-command -- $(TEST_NODE)

# The kubelet is a tool of go.mod, built from the same module graph as the control plane.
.PHONY: node-programs
node-programs:
	@mkdir -p $(BIN)/node
	@tools/gobuild kubelet -o $(BIN)/node/kubelet -ldflags '$(K8S_LDFLAGS)' k8s.io/kubernetes/cmd/kubelet
	@tools/gobuild workload -o $(BIN)/node/workload ./e2e/node/workload

FUZZTIME ?= 20s

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (20s)
	@grep -rlE --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | while read -r _ name; do \
			echo "fuzzing $$name in $$(dirname "$$file") for $(FUZZTIME)"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
		done; \
	done

BENCH ?= .
BENCHCOUNT ?= 1

.PHONY: bench
bench: ## Go benchmarks (BENCH=regexp, BENCHCOUNT=5 for medians); those against peers are a module of their own
	go test -vet=off -p 1 -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) $(UNIT_PACKAGES)
	@if [[ -f e2e/bench/go.mod ]]; then \
		go -C e2e/bench test -vet=off -p 1 -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) ./...; \
	fi

# Programs of e2e/bench run from here, so that the paths in ARGS are those that the user types.
.PHONY: bench-packing
bench-packing: ## Packing against Karpenter's scheduler (SHORT=1, ARGS="--pods FILE --types FILE --seed N", ARGS=--help)
	@mkdir -p $(BIN)
	@go -C e2e/bench build -o $(CURDIR)/$(BIN)/bench-packing ./packing
	@$(BIN)/bench-packing $(if $(SHORT),--short) $(ARGS)

.PHONY: bench-consolidation
bench-consolidation: ## Consolidation against Karpenter's (SHORT=1, ARGS="--pods FILE --nodes N --seed N", ARGS=--help)
	@mkdir -p $(BIN)
	@go -C e2e/bench build -o $(CURDIR)/$(BIN)/bench-consolidation ./consolidation
	@$(BIN)/bench-consolidation $(if $(SHORT),--short) $(ARGS)

# SHORT=1: 200 pods and nothing written to docs/. ARGS: see ARGS=--help.
.PHONY: bench-e2e
bench-e2e: build ## Supercargo against stock Karpenter, 1,000 pods from pending to settled; up to 20 minutes (SHORT=1, ARGS=)
	@go -C e2e/bench run ./endtoend --out=$(CURDIR)/$(OUT)/bench $(if $(SHORT),--short,--docs=$(CURDIR)/docs) $(ARGS)

# SHORT=1 takes less than a minute and writes nothing to docs/.
.PHONY: bench-recommender
bench-recommender: ## The estimate against VPA's, on real traces (SHORT=1, ARGS="--traces DIR", ARGS=--help)
	@mkdir -p $(BIN)
	@go -C e2e/bench build -o $(CURDIR)/$(BIN)/bench-recommender ./cmd/bench-recommender
	@$(BIN)/bench-recommender $(if $(SHORT),--short,--docs docs) $(ARGS)

##@ Try

# USAGE=FILE.csv.gz, KEEP=1 leaves it running, OUTPUT=json; DEMO_ARGS for anything else.
.PHONY: demo
demo: build ## The whole system on a real control plane on this machine (USAGE=, KEEP=1, OUTPUT=json)
	@$(BIN)/supercargo-sandbox demo $(if $(USAGE),--usage=$(USAGE)) $(if $(KEEP),--keep) $(if $(OUTPUT),-o $(OUTPUT)) $(DEMO_ARGS)

##@ Help

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make <target>\n"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*## / {sub(/:.*/, "", $$1); printf "  %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Tools are built once per version of tools/go.mod.
$(TOOLS)/controller-gen: PACKAGE := sigs.k8s.io/controller-tools/cmd/controller-gen
$(TOOLS)/gotestsum: PACKAGE := gotest.tools/gotestsum
$(TOOLS)/golangci-lint: PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(CONTROLLER_GEN) $(GOTESTSUM) $(GOLANGCI_LINT): tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	@cd tools && ./gobuild $(@F) -o $(CURDIR)/$@ $(PACKAGE)
	@touch $@
