#pragma once

#include "onnx-data.pb-c.h"
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

// Stores up to `capacity` of the tree's TensorProtos, in the order of fields and elements; returns how many there are.
size_t onnx_collect_tensors(const ProtobufCMessage *message, Onnx__TensorProto **tensors, size_t capacity);

// The descriptors' addresses, for languages that see C constants as values.
static inline const ProtobufCMessageDescriptor *onnx_model_type(void) { return &onnx__model_proto__descriptor; }
static inline const ProtobufCMessageDescriptor *onnx_tensor_type(void) { return &onnx__tensor_proto__descriptor; }
static inline const ProtobufCMessageDescriptor *onnx_sequence_type(void) { return &onnx__sequence_proto__descriptor; }
static inline const ProtobufCMessageDescriptor *onnx_optional_type(void) { return &onnx__optional_proto__descriptor; }
static inline const ProtobufCMessageDescriptor *onnx_map_type(void) { return &onnx__map_proto__descriptor; }
static inline const ProtobufCMessageDescriptor *onnx_training_info_type(void) {
  return &onnx__training_info_proto__descriptor;
}
static inline const ProtobufCMessageDescriptor *onnx_tensor_annotation_type(void) {
  return &onnx__tensor_annotation__descriptor;
}
static inline const ProtobufCMessageDescriptor *onnx_node_device_configuration_type(void) {
  return &onnx__node_device_configuration_proto__descriptor;
}
static inline const ProtobufCMessageDescriptor *onnx_device_configuration_type(void) {
  return &onnx__device_configuration_proto__descriptor;
}

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
