# make setup     installs what is missing: Debian or Ubuntu packages, Swift 6.3 if PATH has none, the Python venv of the tests
# make           builds onnxq: .build/release/onnxq
# make demo      calibrate, insert-qdq, verify on the digits network of Fixtures/digits
# make test      everything that CI runs
# make test-full make test, then the sanitizers, the long campaigns and the heavy peers
# make check-kernels | check-addresses | campaign | peers: the parts of test-full
# make conformance | interop | end-to-end | bench | bench-float | bench-int | format | lint | proto | libonnx | install PREFIX=... | clean

PYTHON3 ?= python3
PREFIX ?= /usr/local
CONFIGURATION := release
BUILD := .build/$(CONFIGURATION)
VENV := .venv
PYTHON := $(VENV)/bin/python
SWIFT_SOURCES := Package.swift Sources Tests

# A toolchain that `make setup` fetched, for where PATH has no Swift 6.3.
ifneq ($(wildcard .cache/toolchain/usr/bin/swift),)
export PATH := $(CURDIR)/.cache/toolchain/usr/bin:$(PATH)
endif
export ONNXQ := $(CURDIR)/$(BUILD)/onnxq

# The flags are the same wherever the package is built: one build serves the tests, the scripts and the demo.
SWIFT_BUILD := swift build -c $(CONFIGURATION)
SWIFT_TEST := swift test -c $(CONFIGURATION) --disable-testable-imports --disable-xctest

.PHONY: all build setup machine venv demo test test-full unit node-suite conformance conformance-table interop end-to-end accuracy bench bench-float bench-int format lint \
  cli-reference clean install campaign check-kernels check-addresses peers

all: build

-include proto/proto.mk
-include docs/examples/example.mk

setup: machine venv

machine:
	@.ci/setup

venv: $(VENV)/installed

$(VENV)/installed: Tests/python/requirements.txt | machine
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "the tests need Python 3.11 or later: make PYTHON3=/path/to/python3 ..."; exit 1; }
	$(PYTHON3) -m venv --clear $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r Tests/python/requirements.txt
	@touch $@

build: machine
	$(SWIFT_BUILD) --product onnxq

demo: build
	@Fixtures/digits/demo

# The node tests of the onnx package as files.
node-suite: venv
	$(PYTHON) Tests/python/generate_node_tests.py .cache/node-suite

unit: build node-suite
	ONNXQ_NODE_SUITE=$(CURDIR)/.cache/node-suite $(SWIFT_TEST)

# The onnx package's node tests, every operator, through `onnxq test`.
conformance: build venv
	$(PYTHON) Tests/python/conformance.py
	$(PYTHON) Tests/python/model_tests.py

# Ends with 1 on purpose: a recording is no test.
conformance-table: build venv
	$(PYTHON) Tests/python/conformance.py --record

# Float and Q/DQ models held against onnxruntime.
interop: build venv
	$(PYTHON) Tests/python/compare_with_onnxruntime.py
	$(PYTHON) Tests/python/check_qdq.py
	$(PYTHON) Tests/python/parameters.py
	$(PYTHON) Tests/python/survey.py
	$(PYTHON) Tests/python/integer_rounding.py
	$(PYTHON) Tests/python/formats.py
	$(PYTHON) Tests/python/weight_only.py
	$(PYTHON) Tests/python/lint_prediction.py
	$(PYTHON) Tests/python/strip_and_fix.py
	$(PYTHON) Tests/python/random_graphs.py

accuracy: build venv
	$(PYTHON) Tests/python/accuracy.py

# The command line: the three commands, equal bytes, broken files, mutations, kills, full disks, the textual form.
end-to-end: build venv
	$(PYTHON) Tests/python/cli_reference.py --check
	$(PYTHON) Tests/python/lint_reference.py --check
	$(PYTHON) Tests/python/end_to_end.py
	$(PYTHON) Tests/python/bad_inputs.py
	$(PYTHON) Tests/python/crashes.py
	$(PYTHON) Tests/python/same_bytes.py
	$(PYTHON) Tests/python/text_form.py

# One recipe, so that the parts come in this order and the first that fails ends the run.
test: setup
	$(MAKE) lint
	$(MAKE) check-proto
	$(MAKE) check-libonnx
	$(MAKE) check-integer-only
	$(MAKE) unit
	$(MAKE) roundtrip
	$(MAKE) end-to-end
	$(MAKE) conformance
	$(MAKE) interop
	$(MAKE) accuracy
	$(MAKE) example
	$(MAKE) demo

test-full: test
	$(MAKE) check-guard GUARD_MUTATIONS=10000
	$(MAKE) check-kernels
	$(MAKE) check-addresses
	$(MAKE) campaign
	$(PYTHON) Tests/python/weight_only.py --large
	$(PYTHON) Tests/python/compare_with_onnxruntime.py --samples 50
	$(PYTHON) Tests/python/lint_prediction.py --all
	$(PYTHON) Tests/python/fused_macs.py --runs 50
	$(PYTHON) Tests/python/random_graphs.py --count 500 --seed $(CAMPAIGN_SEED)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 nncf==3.4.0
	$(PYTHON) Tests/python/openvino_precision.py --runs 100
	$(MAKE) peers
	$(MAKE) bench

# Mutations of a new seed, which the output names: in process, and through the program.
CAMPAIGN_SEED ?= $(shell date +%s)
campaign: build venv
	ONNXQ_SEED=$(CAMPAIGN_SEED) ONNXQ_MUTATIONS=50000 $(SWIFT_TEST) --filter MutationTests
	$(PYTHON) Tests/python/bad_inputs.py --mutations 10000 --seed $(CAMPAIGN_SEED)
	$(PYTHON) Tests/python/crashes.py --kills 300

# The kernels on random shapes under the address and undefined-behaviour sanitizers.
SANITIZE := clang -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -ISources/CKernels/include
KERNEL_ROUNDS ?= 3000
check-kernels: machine
	@mkdir -p build
	$(SANITIZE) Tests/sanitize/float_harness.c $(wildcard $(addprefix Sources/CKernels/,float/*.c threads/*.c dispatch/*.c \
	  statistics/*.c)) -lm -lpthread -o build/float_harness
	$(SANITIZE) Tests/sanitize/integer_harness.c $(wildcard $(addprefix Sources/CKernels/,integer/*.c threads/*.c \
	  dispatch/*.c)) -lm -lpthread -o build/integer_harness
	build/float_harness $(KERNEL_ROUNDS) 1
	build/integer_harness $(KERNEL_ROUNDS) 1

# The unit tests, the node tests and the model tests under the address sanitizer, in a build folder of its own.
check-addresses: machine node-suite
	ONNXQ_NODE_SUITE=$(CURDIR)/.cache/node-suite ONNXQ_MUTATIONS=1000 $(SWIFT_TEST) --sanitize address --scratch-path .build-asan $(ADDRESS_TESTS)
	$(SWIFT_BUILD) --sanitize address --scratch-path .build-asan --product onnxq
	ONNXQ=$(CURDIR)/.build-asan/$(CONFIGURATION)/onnxq $(PYTHON) Tests/python/conformance.py
	ONNXQ=$(CURDIR)/.build-asan/$(CONFIGURATION)/onnxq $(PYTHON) Tests/python/model_tests.py

# The table of docs/benchmarks.md: onnxruntime's quantizer on the same models. Its histograms of YOLOX take gigabytes.
peers: build venv
	$(PYTHON) Tests/python/peers.py mnist-8 resnet20 mobilenetv1 minilm
	$(PYTHON) Tests/python/peers.py --calibration 16 --samples 20 yolox-nano

# The pages that the program writes: docs/cli.md, and the table of docs/lint.md.
cli-reference: build
	$(PYTHON3) Tests/python/cli_reference.py
	$(PYTHON3) Tests/python/lint_reference.py

bench: build venv
	$(PYTHON) Tests/python/bench.py

# The integer engine beside onnxruntime: layers and whole networks.
bench-int: build venv
	$(PYTHON) Tests/python/bench_int.py

# The float executor beside onnxruntime, in CPU time.
bench-float: build venv
	$(PYTHON) Tests/python/bench_float.py

format:
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

lint:
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	$(PYTHON3) Tests/python/check_repository.py

# With the Swift standard library inside: the installed program needs no toolchain.
install: machine
	$(SWIFT_BUILD) --scratch-path .build-install --static-swift-stdlib --product onnxq
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 .build-install/$(CONFIGURATION)/onnxq $(DESTDIR)$(PREFIX)/bin/onnxq

clean:
	rm -rf .build .build-install .build-asan build $(VENV)

# The integer definitions hold no floating-point instruction.
.PHONY: check-integer-only
check-integer-only: machine
	sh Tests/integer-only/check-integer-only.sh
