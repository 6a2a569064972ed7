#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Checks the wire bytes of a message before protobuf-c sees them.
//
// protobuf-c unpacks recursively without a limit, allocates a struct for every two-byte empty message and cuts strings
// at the first NUL. So the guard walks the bytes first, led by protobuf-c's own descriptors, without allocating, and
// refuses: bad varints, tags and lengths, a wire type that does not fit its field, groups, nesting beyond `max_depth`,
// NUL bytes and invalid UTF-8 in `string` fields, a singular message field given twice (readers differ in what they
// make of it), and a predicted footprint of the unpacked tree above `footprint_base + footprint_factor * size`.
// It stops as soon as the answer is known; bytes that it accepts unpack without surprise.

typedef enum onnx_status {
  ONNX_OK = 0,
  ONNX_TRUNCATED,
  ONNX_BAD_VARINT,
  ONNX_BAD_TAG,
  ONNX_BAD_LENGTH,
  ONNX_WIRE_TYPE,
  ONNX_GROUP,
  ONNX_TOO_DEEP,
  ONNX_STRING_NUL,
  ONNX_STRING_UTF8,
  ONNX_REPEATED_MESSAGE,
  ONNX_FOOTPRINT,
  ONNX_TOO_LARGE,
  ONNX_NO_MEMORY,
  ONNX_UNPACK,
  ONNX_FILE,
} onnx_status;

typedef struct onnx_limits {
  uint32_t max_depth;
  uint64_t footprint_base;
  uint64_t footprint_factor;
} onnx_limits;

// 100 levels, 64 MiB + 24 times the size.
onnx_limits onnx_default_limits(void);

typedef struct onnx_report {
  onnx_status status;
  // Where the fault is: byte offset in the input, message and field by name (NULL where there is none).
  uint64_t offset;
  const char *message;
  const char *field;
  // Upper bound of what the unpacked tree takes, as far as the walk went.
  uint64_t footprint;
  // Upper bound of the skeleton's size (below).
  uint64_t skeleton;
} onnx_report;

onnx_status onnx_guard(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                       const onnx_limits *limits, onnx_report *report);

// What the status means, as the middle of a sentence.
const char *onnx_status_text(onnx_status status);

// The skeleton: the same message with every `TensorProto.raw_data`, at any depth, replaced by an `onnx_span` that says
// where the payload lies in the input. protobuf-c copies all bytes fields; of the skeleton it copies 16 bytes a tensor.
// Since every payload is replaced, none can pass for a span.

typedef struct onnx_span {
  uint64_t offset;
  uint64_t length;
} onnx_span;

// Writes the skeleton of bytes that `onnx_guard` accepted; `out` has room for `report.skeleton` bytes. Returns its
// size.
size_t onnx_skeleton(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size, uint8_t *out);

// Whether messages of this type can hold a TensorProto.
int onnx_holds_tensors(const ProtobufCMessageDescriptor *type);

#ifdef __cplusplus
}
#endif
