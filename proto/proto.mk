# libonnx: the generated C, its checks, and the library on its own for C users.
# Included by the Makefile; PYTHON is an interpreter that has the `onnx` package.

PYTHON ?= python3
PROTOC ?= protoc
PROTOC_C ?= protoc-c
LIBONNX_VERSION := 1.23.2
LIBONNX_SONAME := libonnx.so.1
LIBONNX := build/libonnx
PREFIX ?= /usr/local

proto_sources := proto/onnx.proto proto/onnx-data.proto
proto_generated := onnx.pb-c onnx-data.pb-c
libonnx_sources := $(sort $(wildcard Sources/COnnx/*.c))
libonnx_headers := $(filter-out Sources/COnnx/include/COnnx.h,$(sort $(wildcard Sources/COnnx/include/*.h)))

.PHONY: proto check-proto libonnx check-libonnx install-libonnx

build/proto/stamp: $(proto_sources)
	@mkdir -p build/proto
	$(PROTOC_C) --proto_path=proto --c_out=build/proto $(proto_sources)
	$(PROTOC) --proto_path=proto --include_imports --descriptor_set_out=build/proto/onnx.desc $(proto_sources)
	@touch $@

# Regenerates Sources/COnnx from proto/.
proto: build/proto/stamp
	for file in $(proto_generated); do \
	  cp build/proto/$$file.c Sources/COnnx/$$file.c && cp build/proto/$$file.h Sources/COnnx/include/$$file.h || exit 1; \
	done

# Fails when the committed C is not what proto/ gives, or when proto/ is not the standard.
check-proto: build/proto/stamp
	@for file in $(proto_generated); do \
	  cmp build/proto/$$file.c Sources/COnnx/$$file.c && cmp build/proto/$$file.h Sources/COnnx/include/$$file.h || \
	    { echo "the generated C differs from proto/: run 'make proto' and commit the result"; exit 1; }; \
	done
	$(PYTHON) Tests/python/check_proto.py build/proto/onnx.desc

libonnx: $(LIBONNX)/lib/libonnx.a $(LIBONNX)/lib/$(LIBONNX_SONAME) $(LIBONNX)/lib/pkgconfig/libonnx.pc

$(LIBONNX)/obj/%.o: Sources/COnnx/%.c $(libonnx_headers)
	@mkdir -p $(@D)
	$(CC) -O2 -g -fPIC -Wall -Wextra -ISources/COnnx/include $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(LIBONNX)/lib/libonnx.a: $(patsubst Sources/COnnx/%.c,$(LIBONNX)/obj/%.o,$(libonnx_sources))
	@mkdir -p $(@D) $(LIBONNX)/include/onnx
	cp $(libonnx_headers) $(LIBONNX)/include/onnx
	rm -f $@
	$(AR) rcs $@ $^

$(LIBONNX)/lib/$(LIBONNX_SONAME): $(LIBONNX)/lib/libonnx.a
	$(CC) -shared -Wl,-soname,$(LIBONNX_SONAME) $(LDFLAGS) -o $@ \
	  $(patsubst Sources/COnnx/%.c,$(LIBONNX)/obj/%.o,$(libonnx_sources)) -lprotobuf-c
	ln -sf $(LIBONNX_SONAME) $(LIBONNX)/lib/libonnx.so

# The prefix is the folder above the file, so that the tree can be moved.
$(LIBONNX)/lib/pkgconfig/libonnx.pc: proto/libonnx.pc.in
	@mkdir -p $(@D)
	sed 's/@VERSION@/$(LIBONNX_VERSION)/' $< > $@

# The example, against the shared and the static library, on a model that the onnx package makes.
check-libonnx: libonnx
	@mkdir -p build/libonnx/example
	cd build/libonnx/example && \
	export PKG_CONFIG_PATH="$(CURDIR)/$(LIBONNX)/lib/pkgconfig:$$PKG_CONFIG_PATH" && \
	$(CC) -O2 -Wall -Wextra -Werror $(CURDIR)/docs/examples/libonnx/list_nodes.c \
	  $$(pkg-config --cflags --libs libonnx) -Wl,-rpath,$(CURDIR)/$(LIBONNX)/lib -o list_nodes && \
	$(CC) -O2 -Wall -Wextra -Werror $(CURDIR)/docs/examples/libonnx/list_nodes.c $$(pkg-config --cflags libonnx) \
	  $(CURDIR)/$(LIBONNX)/lib/libonnx.a $$(pkg-config --libs libprotobuf-c) -o list_nodes_static
	$(PYTHON) Tests/python/check_libonnx.py build/libonnx/example/list_nodes build/libonnx/example/list_nodes_static

install-libonnx: libonnx
	install -d $(DESTDIR)$(PREFIX)/include/onnx $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 $(LIBONNX)/include/onnx/*.h $(DESTDIR)$(PREFIX)/include/onnx
	install -m 644 $(LIBONNX)/lib/libonnx.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(LIBONNX)/lib/$(LIBONNX_SONAME) $(DESTDIR)$(PREFIX)/lib
	ln -sf $(LIBONNX_SONAME) $(DESTDIR)$(PREFIX)/lib/libonnx.so
	install -m 644 $(LIBONNX)/lib/pkgconfig/libonnx.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig

# The reader under the address and undefined-behaviour sanitizers; GUARD_MODELS are the files to mutate. The generated C
# and protobuf-c call initializers through a pointer of another type and copy zero bytes from NULL.
GUARD_MODELS ?= $(wildcard Fixtures/*/*.onnx Fixtures/models/*/*.onnx)
GUARD_SEED ?= 1
GUARD_MUTATIONS ?= 2000

.PHONY: check-guard
check-guard:
	@mkdir -p build
	$(CC) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=nonnull-attribute,shift \
	  -ISources/COnnx/include Tests/C/onnx_guard_check.c $(libonnx_sources) -lprotobuf-c -o build/onnx_guard_check
	build/onnx_guard_check $(GUARD_SEED) $(GUARD_MUTATIONS) $(GUARD_MODELS)

# Every model of the onnx package through decode and encode. After `make unit`, which has built the tests.
.PHONY: roundtrip
roundtrip:
	$(PYTHON) Tests/python/roundtrip.py $(SWIFT_TEST) --skip-build --filter resaveForComparison
