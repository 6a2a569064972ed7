# The example package, which depends on the library product as any other package does. It has a build folder of its own, in which
# only what has changed is built again.
EXAMPLE_BUILD := $(CURDIR)/.build/example

.PHONY: example
example: machine
	swift build -c release --package-path docs/examples/swift --scratch-path $(EXAMPLE_BUILD)
	rm -rf $(EXAMPLE_BUILD)/output && mkdir -p $(EXAMPLE_BUILD)/output
	$(EXAMPLE_BUILD)/release/quantize Fixtures/digits $(EXAMPLE_BUILD)/output
