#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Packs a message straight to a file descriptor: no copy of the model in memory, large payloads go out from where they
// lie. `*written` counts bytes. Payloads within `mapped`, a read-only file mapping or NULL, leave memory again once
// they are written. Returns 0, or the errno of the write that failed.
int onnx_pack_to_descriptor(const ProtobufCMessage *message, int descriptor, const void *mapped, size_t mapped_size,
                            uint64_t *written);

// Lets the whole pages within bytes of a read-only file mapping leave memory; they come back when they are read.
void onnx_release_pages(const void *bytes, size_t size);

/// From now on blocks of a MiB and more are mapped one by one and leave the process when they are freed: a heap that large
/// blocks of many sizes pass through would grow instead.
void onnx_map_large_blocks(void);

// Whether two trees of one type hold the same fields with the same presence, unknown fields included. Payloads at the
// same address are equal without being read.
int onnx_messages_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

// Writes all of it, over short writes and interruptions. Returns 0 or errno.
int onnx_write_all(int descriptor, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
