#pragma once

#include "onnx.pb-c.h"
#include "onnx_arena.h"
#include "onnx_guard.h"

#ifdef __cplusplus
extern "C" {
#endif

// Guard, skeleton, unpack: untrusted bytes to a tree whose `raw_data` fields point into `bytes`, which must outlive it.
// The tree belongs to the arena that `*arena` receives: `onnx_arena_free` releases all of it. It must not be given to a
// `_free_unpacked` function, nor changed through protobuf-c's merge.
ProtobufCMessage *onnx_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                              const onnx_limits *limits, onnx_arena **arena, onnx_report *report);

// A model file, mapped and unpacked.
typedef struct onnx_model_file {
  Onnx__ModelProto *model;
  const uint8_t *bytes;
  size_t size;
  onnx_arena *arena;
} onnx_model_file;

// On failure `file` is all zero; for ONNX_FILE, errno says why.
onnx_status onnx_model_open(const char *path, onnx_model_file *file, onnx_report *report);
void onnx_model_close(onnx_model_file *file);

#ifdef __cplusplus
}
#endif
