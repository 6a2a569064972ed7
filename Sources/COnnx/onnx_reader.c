#include "onnx_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Calls `visit` for every TensorProto. The guard has bounded the depth of trees that come from files.
static void visit_tensors(const ProtobufCMessage *message, void (*visit)(Onnx__TensorProto *, void *), void *context) {
  const ProtobufCMessageDescriptor *type = message->descriptor;
  if (type == &onnx__tensor_proto__descriptor) {
    visit((Onnx__TensorProto *)(uintptr_t)message, context);
    return;
  }
  for (unsigned i = 0; i < type->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &type->fields[i];
    if (field->type != PROTOBUF_C_TYPE_MESSAGE || !onnx_holds_tensors(field->descriptor)) continue;
    const char *base = (const char *)message;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
      size_t count = *(const size_t *)(base + field->quantifier_offset);
      ProtobufCMessage *const *elements = *(ProtobufCMessage *const *const *)(base + field->offset);
      for (size_t k = 0; k < count; k++) visit_tensors(elements[k], visit, context);
    } else {
      const ProtobufCMessage *element = *(ProtobufCMessage *const *)(base + field->offset);
      if (element) visit_tensors(element, visit, context);
    }
  }
}

// Turns the span in a skeleton's `raw_data` into a pointer into the bytes.
static void point_into(Onnx__TensorProto *tensor, void *bytes) {
  if (!tensor->has_raw_data || tensor->raw_data.len != sizeof(onnx_span)) return;
  onnx_span span;
  memcpy(&span, tensor->raw_data.data, sizeof span);
  tensor->raw_data.data = (uint8_t *)bytes + span.offset;
  tensor->raw_data.len = span.length;
}

typedef struct collection {
  Onnx__TensorProto **tensors;
  size_t count, capacity;
} collection;

static void collect(Onnx__TensorProto *tensor, void *context) {
  collection *c = context;
  if (c->count < c->capacity) c->tensors[c->count] = tensor;
  c->count++;
}

size_t onnx_collect_tensors(const ProtobufCMessage *message, Onnx__TensorProto **tensors, size_t capacity) {
  collection c = {.tensors = tensors, .count = 0, .capacity = capacity};
  visit_tensors(message, collect, &c);
  return c.count;
}

ProtobufCMessage *onnx_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                              const onnx_limits *limits, onnx_arena **arena, onnx_report *report) {
  *arena = NULL;
  if (onnx_guard(type, bytes, size, limits, report) != ONNX_OK) return NULL;
  uint8_t *skeleton = NULL;
  ProtobufCMessage *message = NULL;
  // The prediction is an upper bound; the limit turns a wrong one into an error.
  *arena = onnx_arena_new(report->footprint + (1u << 20));
  if (report->skeleton) skeleton = malloc(report->skeleton);
  if (*arena == NULL || (report->skeleton && skeleton == NULL)) {
    report->status = ONNX_NO_MEMORY;
  } else {
    size_t skeleton_size = onnx_skeleton(type, bytes, size, skeleton);
    message = protobuf_c_message_unpack(type, onnx_arena_allocator(*arena), skeleton_size, skeleton);
    if (message == NULL) report->status = ONNX_UNPACK;
  }
  free(skeleton);
  if (message == NULL) {
    onnx_arena_free(*arena);
    *arena = NULL;
    return NULL;
  }
  if (onnx_holds_tensors(type)) visit_tensors(message, point_into, (void *)(uintptr_t)bytes);
  return message;
}

onnx_status onnx_model_open(const char *path, onnx_model_file *file, onnx_report *report) {
  *file = (onnx_model_file){0};
  *report = (onnx_report){.status = ONNX_FILE};
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ONNX_FILE;
  struct stat status;
  int bad = fstat(descriptor, &status);
  if (!bad && !S_ISREG(status.st_mode)) {
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    bad = 1;
  }
  if (!bad && status.st_size > 0) {
    void *mapped = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    bad = mapped == MAP_FAILED;
    if (!bad) {
      file->bytes = mapped;
      file->size = (size_t)status.st_size;
    }
  }
  int saved = errno;
  close(descriptor);
  errno = saved;
  if (bad) return ONNX_FILE;
  static const uint8_t nothing[1];
  file->model = (Onnx__ModelProto *)onnx_unpack(&onnx__model_proto__descriptor, file->bytes ? file->bytes : nothing,
                                                file->size, NULL, &file->arena, report);
  if (file->model == NULL) onnx_model_close(file);
  return report->status;
}

void onnx_model_close(onnx_model_file *file) {
  onnx_arena_free(file->arena);
  if (file->bytes) munmap((void *)(uintptr_t)file->bytes, file->size);
  *file = (onnx_model_file){0};
}
