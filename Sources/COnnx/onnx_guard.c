#include "onnx_guard.h"

#include <string.h>

#include "onnx-data.pb-c.h"
#include "onnx.pb-c.h"

enum { RAW_DATA_FIELD = 9, LENGTH_BYTES = 5 };

// What protobuf-c notes for each field of a message while it reads it: 16 notes on the stack, then blocks of 32, 64...
enum { SCANNED_MEMBER = 40, SCANNED_FIRST = 16 };

typedef struct walk {
  const uint8_t *begin;
  const onnx_limits *limits;
  uint64_t footprint_limit;
  onnx_report *report;
} walk;

onnx_limits onnx_default_limits(void) {
  return (onnx_limits){.max_depth = 100, .footprint_base = 64u << 20, .footprint_factor = 24};
}

static onnx_status fault(walk *w, onnx_status status, const uint8_t *at, const ProtobufCMessageDescriptor *type,
                         const ProtobufCFieldDescriptor *field) {
  w->report->status = status;
  w->report->offset = (uint64_t)(at - w->begin);
  w->report->message = type ? type->short_name : NULL;
  w->report->field = field ? field->name : NULL;
  return status;
}

// Reads a varint of at most `max` bytes at `*p`; leaves `*p` in place on failure.
static int read_varint(const uint8_t **p, const uint8_t *end, unsigned max, uint64_t *value) {
  const uint8_t *q = *p;
  if (q < end && *q < 0x80) {
    *value = *q;
    *p = q + 1;
    return 1;
  }
  uint64_t result = 0;
  for (unsigned i = 0; i < max && q < end; i++, q++) {
    result |= (uint64_t)(*q & 0x7F) << (7 * i);
    if (*q < 0x80) {
      *value = result;
      *p = q + 1;
      return 1;
    }
  }
  return 0;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type, uint32_t number) {
  unsigned low = 0, high = type->n_field_ranges;
  const ProtobufCIntRange *ranges = type->field_ranges;
  while (low < high) {
    unsigned middle = low + (high - low) / 2;
    int64_t start = ranges[middle].start_value;
    unsigned index = ranges[middle].orig_index, next = ranges[middle + 1].orig_index;
    if ((int64_t)number < start) {
      high = middle;
    } else if ((int64_t)number - start >= (int64_t)(next - index)) {
      low = middle + 1;
    } else {
      return &type->fields[index + (number - (uint32_t)start)];
    }
  }
  return NULL;
}

static unsigned wire_type_of(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
      return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
      return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
      return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
      return PROTOBUF_C_WIRE_TYPE_VARINT;
  }
}

static unsigned element_size(ProtobufCType type) {
  switch (type) {
    case PROTOBUF_C_TYPE_BYTES:
      return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
      return 4;
    default:
      return 8;
  }
}

static uint64_t rounded(uint64_t size) { return (size + 15) & ~(uint64_t)15; }

// The first byte that is not part of valid UTF-8 or is NUL; `end` if there is none.
static const uint8_t *check_text(const uint8_t *p, const uint8_t *end) {
  while (p < end) {
    if (end - p >= 8) {
      uint64_t word;
      memcpy(&word, p, 8);
      // Eight bytes from 0x01 to 0x7F: no high bit set, and none borrows when 1 is subtracted from each.
      if (!((word | (word - 0x0101010101010101u)) & 0x8080808080808080u)) {
        p += 8;
        continue;
      }
    }
    uint8_t b = *p;
    if (b == 0) return p;
    if (b < 0x80) {
      p++;
      continue;
    }
    unsigned more;
    uint8_t low = 0x80, high = 0xBF;
    if (b >= 0xC2 && b <= 0xDF) {
      more = 1;
    } else if (b >= 0xE0 && b <= 0xEF) {
      more = 2;
      if (b == 0xE0) low = 0xA0;
      if (b == 0xED) high = 0x9F;
    } else if (b >= 0xF0 && b <= 0xF4) {
      more = 3;
      if (b == 0xF0) low = 0x90;
      if (b == 0xF4) high = 0x8F;
    } else {
      return p;
    }
    if ((size_t)(end - p) <= more || p[1] < low || p[1] > high) return p;
    for (unsigned i = 2; i <= more; i++) {
      if (p[i] < 0x80 || p[i] > 0xBF) return p;
    }
    p += 1 + more;
  }
  return end;
}

// Counts the varints in a packed list; -1 if one of them is broken.
static int64_t count_varints(const uint8_t *p, const uint8_t *end) {
  int64_t count = 0;
  while (p < end) {
    if (end - p >= 8) {
      uint64_t word;
      memcpy(&word, p, 8);
      if (!(word & 0x8080808080808080u)) {
        p += 8;
        count += 8;
        continue;
      }
    }
    uint64_t ignored;
    if (!read_varint(&p, end, 10, &ignored)) return -1;
    count++;
  }
  return count;
}

static onnx_status check_message(walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *p,
                                 const uint8_t *end, uint32_t depth);

// The payload of a length-prefixed field at [p, end).
static onnx_status check_payload(walk *w, const ProtobufCMessageDescriptor *type,
                                 const ProtobufCFieldDescriptor *field, const uint8_t *p, const uint8_t *end,
                                 uint32_t depth) {
  uint64_t length = (uint64_t)(end - p);
  onnx_report *report = w->report;
  switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
      report->skeleton += LENGTH_BYTES;
      return check_message(w, field->descriptor, p, end, depth + 1);
    case PROTOBUF_C_TYPE_STRING: {
      const uint8_t *bad = check_text(p, end);
      if (bad < end) return fault(w, *bad == 0 ? ONNX_STRING_NUL : ONNX_STRING_UTF8, bad, type, field);
      report->footprint += rounded(length + 1);
      return ONNX_OK;
    }
    case PROTOBUF_C_TYPE_BYTES:
      if (type == &onnx__tensor_proto__descriptor && field->id == RAW_DATA_FIELD) {
        report->footprint += sizeof(onnx_span);
        report->skeleton += sizeof(onnx_span);
        report->skeleton -= length;
      } else {
        report->footprint += rounded(length);
      }
      return ONNX_OK;
    default: {
      // A packed list.
      unsigned wire = wire_type_of(field->type);
      uint64_t count;
      if (wire == PROTOBUF_C_WIRE_TYPE_VARINT) {
        int64_t found = count_varints(p, end);
        if (found < 0) return fault(w, ONNX_BAD_VARINT, p, type, field);
        count = (uint64_t)found;
      } else {
        uint64_t size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
        if (length % size) return fault(w, ONNX_BAD_LENGTH, p, type, field);
        count = length / size;
      }
      report->footprint += rounded(count * element_size(field->type));
      return ONNX_OK;
    }
  }
}

static onnx_status check_message(walk *w, const ProtobufCMessageDescriptor *type, const uint8_t *p,
                                 const uint8_t *end, uint32_t depth) {
  onnx_report *report = w->report;
  if (depth > w->limits->max_depth) return fault(w, ONNX_TOO_DEEP, p, type, NULL);
  report->footprint += rounded(type->sizeof_message);
  // No ONNX message has more than 64 fields, so one word notes which were seen.
  uint64_t seen = 0;
  uint64_t members = 0, next_block = SCANNED_FIRST, unknown = 0;
  while (p < end) {
    const uint8_t *start = p;
    uint64_t tag;
    if (!read_varint(&p, end, 5, &tag)) return fault(w, ONNX_BAD_TAG, start, type, NULL);
    uint64_t number = tag >> 3;
    unsigned wire = tag & 7;
    if (number == 0 || tag > UINT32_MAX) return fault(w, ONNX_BAD_TAG, start, type, NULL);
    const ProtobufCFieldDescriptor *field = find_field(type, (uint32_t)number);

    const uint8_t *value = p;
    uint64_t length = 0;
    switch (wire) {
      case PROTOBUF_C_WIRE_TYPE_VARINT: {
        uint64_t ignored;
        if (!read_varint(&p, end, 10, &ignored)) return fault(w, ONNX_BAD_VARINT, start, type, field);
        break;
      }
      case PROTOBUF_C_WIRE_TYPE_64BIT:
        if (end - p < 8) return fault(w, ONNX_TRUNCATED, start, type, field);
        p += 8;
        break;
      case PROTOBUF_C_WIRE_TYPE_32BIT:
        if (end - p < 4) return fault(w, ONNX_TRUNCATED, start, type, field);
        p += 4;
        break;
      case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!read_varint(&p, end, 5, &length)) return fault(w, ONNX_BAD_LENGTH, start, type, field);
        if (length > INT32_MAX) return fault(w, ONNX_BAD_LENGTH, start, type, field);
        if (length > (uint64_t)(end - p)) return fault(w, ONNX_TRUNCATED, start, type, field);
        value = p;
        p += length;
        break;
      case 3:
      case 4:
        return fault(w, ONNX_GROUP, start, type, field);
      default:
        return fault(w, ONNX_BAD_TAG, start, type, field);
    }

    members++;
    if (members > next_block) {
      report->footprint += rounded(2 * next_block * SCANNED_MEMBER);
      members = 1;
      next_block *= 2;
    }

    if (field == NULL) {
      report->footprint += sizeof(ProtobufCMessageUnknownField) + rounded((uint64_t)(p - start));
      if (unknown++ == 0) report->footprint += 16;
    } else {
      uint64_t bit = (uint64_t)1 << ((field - type->fields) & 63);
      unsigned expected = wire_type_of(field->type);
      if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        report->footprint += (seen & bit) ? 0 : 16;
        int packed = expected != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
        if (!packed) report->footprint += element_size(field->type);
        if (wire != expected && !packed) return fault(w, ONNX_WIRE_TYPE, start, type, field);
      } else {
        if (wire != expected) return fault(w, ONNX_WIRE_TYPE, start, type, field);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && (seen & bit)) {
          return fault(w, ONNX_REPEATED_MESSAGE, start, type, field);
        }
      }
      seen |= bit;
      if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
        onnx_status status = check_payload(w, type, field, value, p, depth);
        if (status != ONNX_OK) return status;
      }
    }
    if (report->footprint > w->footprint_limit) return fault(w, ONNX_FOOTPRINT, start, type, field);
  }
  return ONNX_OK;
}

onnx_status onnx_guard(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                       const onnx_limits *limits, onnx_report *report) {
  onnx_limits standard = onnx_default_limits();
  if (limits == NULL) limits = &standard;
  *report = (onnx_report){.status = ONNX_OK, .skeleton = size};
  walk w = {.begin = bytes, .limits = limits, .report = report};
  if (size > INT32_MAX) return fault(&w, ONNX_TOO_LARGE, bytes, type, NULL);
  w.footprint_limit = limits->footprint_base + limits->footprint_factor * size;
  onnx_status status = check_message(&w, type, bytes, bytes + size, 1);
  if (status != ONNX_OK) return status;
  report->footprint += rounded(report->skeleton);
  if (report->footprint > w.footprint_limit) return fault(&w, ONNX_FOOTPRINT, bytes, type, NULL);
  return ONNX_OK;
}

const char *onnx_status_text(onnx_status status) {
  switch (status) {
    case ONNX_OK: return "is sound";
    case ONNX_TRUNCATED: return "ends in the middle of a field";
    case ONNX_BAD_VARINT: return "has a malformed number";
    case ONNX_BAD_TAG: return "has a malformed field tag";
    case ONNX_BAD_LENGTH: return "has an impossible field length";
    case ONNX_WIRE_TYPE: return "has a field of the wrong wire type";
    case ONNX_GROUP: return "uses groups, which ONNX does not have";
    case ONNX_TOO_DEEP: return "is nested more than 100 levels deep";
    case ONNX_STRING_NUL: return "has a NUL byte in a text field";
    case ONNX_STRING_UTF8: return "has a text field that is not UTF-8";
    case ONNX_REPEATED_MESSAGE: return "gives a field twice that may occur once";
    case ONNX_FOOTPRINT: return "would unpack to many times its size";
    case ONNX_TOO_LARGE: return "is larger than 2 GiB; weights of such models belong in external data";
    case ONNX_NO_MEMORY: return "does not fit in memory";
    case ONNX_UNPACK: return "could not be unpacked";
    case ONNX_FILE: return "could not be read";
  }
  return "is broken";
}

int onnx_holds_tensors(const ProtobufCMessageDescriptor *type) {
  static const ProtobufCMessageDescriptor *const holders[] = {
      &onnx__node_proto__descriptor,     &onnx__attribute_proto__descriptor,     &onnx__tensor_proto__descriptor,
      &onnx__graph_proto__descriptor,    &onnx__sparse_tensor_proto__descriptor, &onnx__function_proto__descriptor,
      &onnx__model_proto__descriptor,    &onnx__training_info_proto__descriptor, &onnx__sequence_proto__descriptor,
      &onnx__optional_proto__descriptor, &onnx__map_proto__descriptor,
  };
  for (size_t i = 0; i < sizeof holders / sizeof *holders; i++) {
    if (holders[i] == type) return 1;
  }
  return 0;
}

static uint8_t *write_varint(uint8_t *out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *out++ = (uint8_t)value;
  return out;
}

// A varint of exactly five bytes, so that it can be written before the length is known.
static void write_length(uint8_t *out, uint64_t value) {
  for (int i = 0; i < LENGTH_BYTES; i++) {
    out[i] = (uint8_t)((value >> (7 * i) & 0x7F) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
  }
}

static uint8_t *copy(uint8_t *out, const uint8_t *from, const uint8_t *to) {
  size_t size = (size_t)(to - from);
  if (size) memcpy(out, from, size);
  return out + size;
}

static uint8_t *write_skeleton(const ProtobufCMessageDescriptor *type, const uint8_t *begin, const uint8_t *p,
                               const uint8_t *end, uint8_t *out) {
  // Fields that stay as they are collect in [kept, p) and are copied together.
  const uint8_t *kept = p;
  while (p < end) {
    const uint8_t *start = p;
    uint64_t tag, length = 0, ignored;
    if (!read_varint(&p, end, 5, &tag)) break;
    switch (tag & 7) {
      case PROTOBUF_C_WIRE_TYPE_VARINT:
        if (!read_varint(&p, end, 10, &ignored)) return out;
        continue;
      case PROTOBUF_C_WIRE_TYPE_64BIT:
        p += 8;
        continue;
      case PROTOBUF_C_WIRE_TYPE_32BIT:
        p += 4;
        continue;
      default:
        if (!read_varint(&p, end, 5, &length)) return out;
        break;
    }
    const uint8_t *payload = p;
    p += length;
    const ProtobufCFieldDescriptor *field = find_field(type, (uint32_t)(tag >> 3));
    if (field == NULL) continue;
    if (type == &onnx__tensor_proto__descriptor && field->id == RAW_DATA_FIELD) {
      out = copy(out, kept, start);
      out = write_varint(out, tag);
      out = write_varint(out, sizeof(onnx_span));
      onnx_span span = {.offset = (uint64_t)(payload - begin), .length = length};
      memcpy(out, &span, sizeof span);
      out += sizeof span;
      kept = p;
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE && onnx_holds_tensors(field->descriptor)) {
      out = copy(out, kept, start);
      out = write_varint(out, tag);
      uint8_t *length_at = out;
      out = write_skeleton(field->descriptor, begin, payload, p, out + LENGTH_BYTES);
      write_length(length_at, (uint64_t)(out - length_at - LENGTH_BYTES));
      kept = p;
    }
  }
  return copy(out, kept, end);
}

size_t onnx_skeleton(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size, uint8_t *out) {
  return (size_t)(write_skeleton(type, bytes, bytes, bytes + size, out) - out);
}
