#include "onnx_writer.h"

#include <malloc.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int onnx_write_all(int descriptor, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  while (size > 0) {
    // Linux writes at most 2 GiB less a page at a time.
    ssize_t done = write(descriptor, p, size < (1u << 30) ? size : (1u << 30));
    if (done < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (done == 0) return ENOSPC;
    p += done;
    size -= (size_t)done;
  }
  return 0;
}

void onnx_map_large_blocks(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

void onnx_release_pages(const void *bytes, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t begin = ((uintptr_t)bytes + page - 1) & ~(page - 1), end = ((uintptr_t)bytes + size) & ~(page - 1);
  if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
}

typedef struct stream {
  ProtobufCBuffer base;
  const uint8_t *mapped;
  size_t mapped_size;
  int descriptor;
  int error;
  uint64_t written;
  size_t used;
  uint8_t pending[1 << 16];
} stream;

static void flush(stream *s) {
  if (s->used && !s->error) s->error = onnx_write_all(s->descriptor, s->pending, s->used);
  s->used = 0;
}

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes) {
  stream *s = (stream *)buffer;
  s->written += size;
  if (size > sizeof s->pending - s->used) flush(s);
  if (size > sizeof s->pending) {
    if (!s->error) s->error = onnx_write_all(s->descriptor, bytes, size);
    uintptr_t offset = (uintptr_t)bytes - (uintptr_t)s->mapped;
    if (s->mapped && offset < s->mapped_size && size <= s->mapped_size - offset) onnx_release_pages(bytes, size);
  } else if (size) {
    memcpy(s->pending + s->used, bytes, size);
    s->used += size;
  }
}

int onnx_pack_to_descriptor(const ProtobufCMessage *message, int descriptor, const void *mapped, size_t mapped_size,
                            uint64_t *written) {
  stream s;
  s.mapped = mapped;
  s.mapped_size = mapped_size;
  s.base.append = append;
  s.descriptor = descriptor;
  s.error = 0;
  s.written = 0;
  s.used = 0;
  protobuf_c_message_pack_to_buffer(message, &s.base);
  flush(&s);
  if (written) *written = s.written;
  return s.error;
}

static int bytes_equal(const void *a, size_t a_size, const void *b, size_t b_size) {
  return a_size == b_size && (a == b || a_size == 0 || memcmp(a, b, a_size) == 0);
}

static size_t scalar_size(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
      return 4;
    default:
      return 8;
  }
}

// One element each, as they lie in a struct or a list.
static int elements_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b) {
  switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE: {
      const ProtobufCMessage *x = *(ProtobufCMessage *const *)a, *y = *(ProtobufCMessage *const *)b;
      return x == y || (x && y && onnx_messages_equal(x, y));
    }
    case PROTOBUF_C_TYPE_STRING: {
      const char *x = *(char *const *)a, *y = *(char *const *)b;
      return x == y || (x && y && strcmp(x, y) == 0);
    }
    case PROTOBUF_C_TYPE_BYTES: {
      const ProtobufCBinaryData *x = a, *y = b;
      return bytes_equal(x->data, x->len, y->data, y->len);
    }
    default:
      return memcmp(a, b, scalar_size(field->type)) == 0;
  }
}

int onnx_messages_equal(const ProtobufCMessage *a, const ProtobufCMessage *b) {
  if (a->descriptor != b->descriptor || a->n_unknown_fields != b->n_unknown_fields) return 0;
  for (unsigned i = 0; i < a->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *x = &a->unknown_fields[i], *y = &b->unknown_fields[i];
    if (x->tag != y->tag || x->wire_type != y->wire_type || !bytes_equal(x->data, x->len, y->data, y->len)) return 0;
  }
  const char *base_a = (const char *)a, *base_b = (const char *)b;
  for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];
    const void *x = base_a + field->offset, *y = base_b + field->offset;
    const void *presence_x = base_a + field->quantifier_offset, *presence_y = base_b + field->quantifier_offset;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
      size_t count = *(const size_t *)presence_x;
      if (count != *(const size_t *)presence_y) return 0;
      const char *list_x = *(char *const *)x, *list_y = *(char *const *)y;
      size_t size = field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : scalar_size(field->type);
      if (field->type != PROTOBUF_C_TYPE_BYTES && field->type != PROTOBUF_C_TYPE_STRING &&
          field->type != PROTOBUF_C_TYPE_MESSAGE) {
        if (!bytes_equal(list_x, count * size, list_y, count * size)) return 0;
        continue;
      }
      for (size_t k = 0; k < count; k++) {
        if (!elements_equal(field, list_x + k * size, list_y + k * size)) return 0;
      }
      continue;
    }
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
      uint32_t case_x = *(const uint32_t *)presence_x, case_y = *(const uint32_t *)presence_y;
      if (case_x != case_y) return 0;
      if (case_x != field->id) continue;
    } else if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE) {
      protobuf_c_boolean has_x = *(const protobuf_c_boolean *)presence_x;
      protobuf_c_boolean has_y = *(const protobuf_c_boolean *)presence_y;
      if (!has_x != !has_y) return 0;
      if (!has_x) continue;
    }
    if (!elements_equal(field, x, y)) return 0;
  }
  return 1;
}
