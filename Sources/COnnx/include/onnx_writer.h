#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Packs a message straight to a file descriptor: no copy of the model in memory, large payloads go out from where they
// lie. `*written` counts bytes. Returns 0, or the errno of the write that failed.
int onnx_pack_to_descriptor(const ProtobufCMessage *message, int descriptor, uint64_t *written);

// Whether two trees of one type hold the same fields with the same presence, unknown fields included. Payloads at the
// same address are equal without being read.
int onnx_messages_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

// Writes all of it, over short writes and interruptions. Returns 0 or errno.
int onnx_write_all(int descriptor, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
