# Two commands do everything: `make demo` and `make test`. The others are parts of them, or take long.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Official builds of ONNX Runtime send usage data by default. The binary turns that off by itself; tests, benchmarks and
# Python load the library without it.
export ORT_DISABLE_TELEMETRY := 1

RUNTIME := $(CURDIR)/.perch/onnxruntime/cpu
EXAMPLES := examples/curve_forecaster
MINILM := examples/minilm

.PHONY: help build runtime services minilm clients demo demo-registry demo-embed serve test test-rust test-python test-demo test-register test-bench test-deploy test-deploy-all test-observe image lint fmt bench bench-same bench-rollout bench-embed micro simulate property swap-soak rollout-kills fleet-kills fleet-pace fleet-away registry-soak soak-embed deny clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

build: ## Build the server, optimised: target/release/perch.
	cargo build --release --locked

runtime: ## Fetch ONNX Runtime for the CPU (scripts/onnxruntime --gpu for CUDA, --openvino for OpenVINO).
	@scripts/onnxruntime >/dev/null

services: ## Fetch MLflow, MinIO, PostgreSQL and libfaketime, which tests run: 1 GB, and 5 minutes the first time.
	@scripts/services install
	@scripts/postgres install
	@scripts/faketime >/dev/null

minilm: ## Export all-MiniLM-L6-v2 into the cache, fp32 and int8, and check it: 150 MB and a minute the first time.
	@scripts/minilm

clients: ## Fetch the clients of embeddings that tests run: openai, huggingface_hub (100 MB).
	@scripts/venv clients tests/clients/requirements.txt >/dev/null

demo: build runtime ## Serve the example models on 127.0.0.1:8000, show what perch does, rollouts last, and stop.
	scripts/demo --perch target/release/perch --listen 127.0.0.1:8000

demo-registry: build runtime services ## Train, register in a real MLflow on MinIO, serve, promote and roll back, and stop.
	scripts/demo-registry --perch target/release/perch --listen 127.0.0.1:8000

demo-embed: build runtime minilm ## Serve an embedder on 127.0.0.1:8000: the card's cosines, OpenAI's call, int8 rolling out, and stop.
	scripts/demo-embed --perch target/release/perch --listen 127.0.0.1:8000

serve: build runtime ## Serve a copy of the example models on 127.0.0.1:8000 until Ctrl-C.
	mkdir -p target/serve && rm -rf target/serve/models && cp -a examples/models target/serve/models
	target/release/perch serve --models target/serve/models --state sqlite:target/serve/state.db

test: test-rust test-python test-demo test-register test-bench test-deploy test-observe ## Run every test.

test-rust: runtime services minilm clients ## Unit, property and integration tests.
	scripts/cargo-test --workspace
	PERCH_TEST_STORE=postgres scripts/cargo-test --test it rollout_life -- --skip rollout_life::store

test-python: ## The committed example models and fixtures are what their scripts make.
	venv=$$(scripts/venv examples $(EXAMPLES)/requirements.txt | tail -n 1); \
	"$$venv/bin/python" $(EXAMPLES)/train.py --check; \
	"$$venv/bin/python" tests/fixtures/make.py --check
	venv=$$(scripts/venv minilm $(MINILM)/requirements.txt | tail -n 1); \
	"$$venv/bin/python" tests/fixtures/make_text.py --check

test-demo: runtime minilm ## The demos and the example policies, against an unoptimised build.
	cargo build --locked
	mkdir -p target/policies
	for policy in examples/*/*.yaml; do \
		echo "$$policy"; \
		SLACK_WEBHOOK_URL=https://hooks.example/T0 target/debug/perch config check --models examples/models \
			--state sqlite:target/policies/state.db --rollout "$$policy"; \
	done
	scripts/again scripts/demo --perch target/debug/perch --listen 127.0.0.1:0
	scripts/again scripts/demo-embed --perch target/debug/perch --listen 127.0.0.1:0

test-register: runtime services ## demo-registry, against an unoptimised build.
	cargo build --locked
	scripts/again scripts/demo-registry --perch target/debug/perch --listen 127.0.0.1:0

test-bench: runtime minilm ## The benchmarks' short forms: that they run, not how fast.
	scripts/wrk
	cargo build --locked --bins --examples
	scripts/again python3 benches/load.py --perch target/debug/perch --bin-dir target/debug/examples \
		--library $(RUNTIME)/libonnxruntime.so --short --rounds 1 --cores 1
	for bench in embed embed_overload; do \
		scripts/again scripts/bench-embed "$$bench" --perch target/debug/perch --library $(RUNTIME)/libonnxruntime.so --short; \
	done

test-observe: runtime services ## Dashboards, alerts, a rolling restart and recovery, with real Prometheus and HAProxy.
	scripts/observe-tools
	cargo build --locked
	scripts/again python3 tests/observe --perch target/debug/perch --library $(RUNTIME)/libonnxruntime.so

test-deploy: runtime ## The image, Kubernetes, the chart, compose, Terraform, workflows (tools: 4 minutes the first time).
	cargo build --locked
	scripts/again python3 tests/deploy/run.py --perch target/debug/perch --library $(RUNTIME)

test-deploy-all: runtime ## The same, and docker compose 2, OpenTofu, actionlint (tools: 12 minutes the first time).
	cargo build --locked
	python3 tests/deploy/run.py --all --perch target/debug/perch --library $(RUNTIME)

image: ## Build the image from source, start it with a read-only root, and ask it: docker, podman or buildah.
	scripts/image

lint: ## Formatting, clippy and documentation, warnings being errors.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

fmt: ## Format everything.
	cargo fmt --all

bench: runtime ## Load benchmark against the limits, with the targets checked (10 minutes).
	scripts/wrk
	cargo build --release --locked --bins --examples
	python3 benches/load.py --library $(RUNTIME)/libonnxruntime.so --check

bench-same: runtime ## The same with one body over and over, as published figures often are.
	scripts/wrk
	cargo build --release --locked --bins --examples
	python3 benches/load.py --library $(RUNTIME)/libonnxruntime.so --same-body

bench-rollout: runtime ## What a rollout costs: throughput with and without one, pick and record.
	scripts/wrk
	cargo build --release --locked
	python3 benches/rollout_load.py --library $(RUNTIME)/libonnxruntime.so --check
	cargo bench --locked --bench rollout

bench-embed: runtime minilm ## Embeddings against ONNX Runtime alone on one core, and at twice the capacity (8 minutes).
	scripts/wrk
	cargo build --release --locked
	scripts/bench-embed embed --library $(RUNTIME)/libonnxruntime.so --check
	scripts/bench-embed embed_overload --library $(RUNTIME)/libonnxruntime.so --check
	if grep -qw amx_bf16 /proc/cpuinfo 2>/dev/null; then scripts/onnxruntime --openvino >/dev/null; fi
	scripts/bench-embed embed_bf16 --library .perch/onnxruntime/openvino/libonnxruntime.so --check

micro: ## Criterion benchmarks of parsing and printing.
	cargo bench --locked --bench micro

simulate: ## The judges and the presets over thousands of rollouts, against what was promised of them (10 minutes).
	cargo run --release --locked -p perch-router --example simulate -- --check

property: runtime ## A million random bodies against /predict (make test sends 100,000).
	PERCH_PROPERTY_CASES=1000000 cargo test --locked --release --test it property

swap-soak: runtime ## 60 s of load with a version swapped every second (make test does 3 s).
	PERCH_SWAP_SECONDS=60 cargo test --locked --release --test it swap

rollout-kills: runtime ## Rollouts through 100 kills at any moment (10 minutes; make test does 8).
	PERCH_KILLS=100 cargo test --locked --release --test it rollouts_go_on_after_kills -- --nocapture

fleet-kills: runtime services ## 100 rollouts on three replicas, one of which is killed at any moment (10 minutes; make test does 6).
	PERCH_FLEET_KILLS=100 cargo test --locked --release --test it fleet::kills -- --nocapture

fleet-pace: runtime services ## Executions that three replicas need to see a bad canary, medians of 20 (make test does 5).
	PERCH_FLEET_RUNS=20 cargo test --locked --release --test it fleet::pace -- --nocapture --test-threads 1

fleet-away: runtime services ## A PostgreSQL that is silent, then gone, for a minute, with latencies compared (make test: 6 s).
	PERCH_AWAY_SECONDS=60 cargo test --locked --release --test it fleet::store::nothing_is_lost -- --nocapture

registry-soak: runtime services ## 200 versions from MLflow in turn, and what memory they leave (make test does 40).
	PERCH_REGISTRY_VERSIONS=200 cargo test --locked --release --test it mlflow::memory

soak-embed: runtime minilm ## Half an hour of texts of random lengths: resident memory stays flat (make test does 25 s).
	PERCH_SOAK_SECONDS=$${PERCH_SOAK_SECONDS:-1800} cargo test --locked --release --test it embed::memory -- --nocapture

deny: ## Licences, sources and banned crates.
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

clean: ## Remove what was built and fetched into the checkout.
	rm -rf target .perch
