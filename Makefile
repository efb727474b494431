# Two commands do everything: `make demo` and `make test`. The others are parts of them, or take long.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Official builds of ONNX Runtime send usage data by default. The binary turns that off by itself; tests, benchmarks and
# Python load the library without it.
export ORT_DISABLE_TELEMETRY := 1

RUNTIME := $(CURDIR)/.perch/onnxruntime/cpu
EXAMPLES := examples/curve_forecaster

.PHONY: help build runtime services demo demo-registry serve test test-rust test-python test-demo test-register test-bench lint fmt bench bench-same micro property swap-soak registry-soak deny clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

build: ## Build the server, optimised: target/release/perch.
	cargo build --release --locked

runtime: ## Fetch ONNX Runtime for the CPU (scripts/onnxruntime --gpu for CUDA).
	@scripts/onnxruntime >/dev/null

services: ## Fetch MLflow and MinIO, which tests run: 1 GB, and 5 minutes the first time.
	@scripts/services install

demo: build runtime ## Serve the example models on 127.0.0.1:8000, show what perch does, and stop.
	scripts/demo --perch target/release/perch --listen 127.0.0.1:8000

demo-registry: build runtime services ## Train, register in a real MLflow on MinIO, serve, promote and roll back, and stop.
	scripts/demo-registry --perch target/release/perch --listen 127.0.0.1:8000

serve: build runtime ## Serve a copy of the example models on 127.0.0.1:8000 until Ctrl-C.
	mkdir -p target/serve && rm -rf target/serve/models && cp -a examples/models target/serve/models
	target/release/perch serve --models target/serve/models

test: test-rust test-python test-demo test-register test-bench ## Run every test.

test-rust: runtime services ## Unit, property and integration tests.
	cargo test --workspace --locked

test-python: ## The committed example models and fixtures are what their scripts make.
	venv=$$(scripts/venv examples $(EXAMPLES)/requirements.txt | tail -n 1); \
	"$$venv/bin/python" $(EXAMPLES)/train.py --check; \
	"$$venv/bin/python" tests/fixtures/make.py --check

test-demo: runtime ## The demo, against an unoptimised build.
	cargo build --locked
	scripts/demo --perch target/debug/perch --listen 127.0.0.1:0

test-register: runtime services ## demo-registry, against an unoptimised build.
	cargo build --locked
	scripts/demo-registry --perch target/debug/perch --listen 127.0.0.1:0

test-bench: runtime ## The benchmark's short form: that it runs, not how fast.
	scripts/wrk
	cargo build --locked --bins --examples
	python3 benches/load.py --perch target/debug/perch --bin-dir target/debug/examples \
		--library $(RUNTIME)/libonnxruntime.so --short --rounds 1 --cores 1

lint: ## Formatting and clippy, warnings being errors.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

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

micro: ## Criterion benchmarks of parsing and printing.
	cargo bench --locked --bench micro

property: runtime ## A million random bodies against /predict (make test sends 100,000).
	PERCH_PROPERTY_CASES=1000000 cargo test --locked --release --test it property

swap-soak: runtime ## 60 s of load with a version swapped every second (make test does 3 s).
	PERCH_SWAP_SECONDS=60 cargo test --locked --release --test it swap

registry-soak: runtime services ## 200 versions from MLflow in turn, and what memory they leave (make test does 40).
	PERCH_REGISTRY_VERSIONS=200 cargo test --locked --release --test it mlflow::memory

deny: ## Licences, sources and banned crates.
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

clean: ## Remove what was built and fetched into the checkout.
	rm -rf target .perch
