// Mutates model files in process and holds the reader to its word: what the guard accepts unpacks, within the predicted
// footprint, and packs again; what it refuses has a reason and a place. Built with the address and undefined-behaviour
// sanitizers by `make check-guard`.
//
// usage: onnx_guard_check SEED MUTATIONS FILE...
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx-data.pb-c.h"
#include "onnx_reader.h"
#include "onnx_writer.h"

static uint64_t state;

static uint64_t next_random(void) {
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static void fail(const char *what) {
  fprintf(stderr, "onnx_guard_check: %s\n", what);
  abort();
}

// Whether the bytes were accepted.
static int check(const uint8_t *bytes, size_t size) {
  onnx_arena *arena;
  onnx_report report;
  ProtobufCMessage *message =
      onnx_unpack(&onnx__model_proto__descriptor, bytes, size, NULL, &arena, &report);
  if (message == NULL) {
    if (report.status == ONNX_OK) fail("no message and no reason");
    if (report.status == ONNX_UNPACK) fail("the guard accepted what protobuf-c refuses");
    if (report.offset > size) fail("the fault lies outside the file");
    return 0;
  }
  if (onnx_arena_peak(arena) > report.footprint) {
    fprintf(stderr, "predicted %" PRIu64 ", took %" PRIu64 "\n", report.footprint, onnx_arena_peak(arena));
    fail("the tree took more than was predicted");
  }
  size_t packed = protobuf_c_message_get_packed_size(message);
  uint8_t *again = malloc(packed + 1);
  if (protobuf_c_message_pack(message, again) != packed) fail("the packed size is wrong");
  onnx_arena *second_arena;
  onnx_report second_report;
  ProtobufCMessage *second =
      onnx_unpack(&onnx__model_proto__descriptor, again, packed, NULL, &second_arena, &second_report);
  // A shorter file has a smaller allowance, which alone may refuse it.
  if (second == NULL && second_report.status != ONNX_FOOTPRINT) fail("what was packed does not unpack");
  if (second) {
    if (!onnx_messages_equal(message, second)) fail("what was packed unpacks to something else");
    uint8_t *thrice = malloc(packed + 1);
    if (protobuf_c_message_pack(second, thrice) != packed || memcmp(again, thrice, packed)) {
      fail("packing is not stable");
    }
    free(thrice);
    onnx_arena_free(second_arena);
  }
  free(again);
  onnx_arena_free(arena);
  return 1;
}

// Every message type that can reach a TensorProto is a holder, and no other is.
static int reaches(const ProtobufCMessageDescriptor *type, const ProtobufCMessageDescriptor **path, int length) {
  if (type == &onnx__tensor_proto__descriptor) return 1;
  for (int i = 0; i < length; i++) {
    if (path[i] == type) return 0;
  }
  path[length] = type;
  for (unsigned i = 0; i < type->n_fields; i++) {
    if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && reaches(type->fields[i].descriptor, path, length + 1)) {
      return 1;
    }
  }
  return 0;
}

static void check_holders(const ProtobufCMessageDescriptor *type, const ProtobufCMessageDescriptor **seen, int *count) {
  for (int i = 0; i < *count; i++) {
    if (seen[i] == type) return;
  }
  seen[(*count)++] = type;
  const ProtobufCMessageDescriptor *path[64];
  if (reaches(type, path, 0) != onnx_holds_tensors(type)) fail(type->name);
  if (type->n_fields > 64) fail("a message has more fields than the guard's set holds");
  for (unsigned i = 0; i < type->n_fields; i++) {
    if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) check_holders(type->fields[i].descriptor, seen, count);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  state = strtoull(argv[1], NULL, 10);
  long mutations = strtol(argv[2], NULL, 10);
  const ProtobufCMessageDescriptor *seen[64];
  int types = 0;
  check_holders(&onnx__model_proto__descriptor, seen, &types);
  check_holders(&onnx__sequence_proto__descriptor, seen, &types);

  long accepted = 0, total = 0;
  for (int i = 3; i < argc; i++) {
    FILE *file = fopen(argv[i], "rb");
    if (file == NULL) fail(argv[i]);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *original = malloc(size + 1);
    if (fread(original, 1, size, file) != size) fail(argv[i]);
    fclose(file);
    if (!check(original, size)) fail("a sound file is refused");
    for (long k = 0; k < mutations; k++) {
      // A copy of the exact size, so that the sanitizer sees a read past its end.
      size_t cut = next_random() % 8 == 0 ? next_random() % (size + 1) : size;
      uint8_t *bytes = malloc(cut ? cut : 1);
      memcpy(bytes, original, cut);
      // Most of a file is weights: half of the mutations go to the first and last kilobytes, where the structure is.
      for (uint64_t changes = 1 + next_random() % 4; cut && changes; changes--) {
        uint64_t where = next_random();
        size_t at = where % 4 == 0 ? (where >> 8) % (cut < 4096 ? cut : 4096)
                    : where % 4 == 1 ? cut - 1 - (where >> 8) % (cut < 4096 ? cut : 4096)
                                     : (where >> 8) % cut;
        uint64_t how = next_random();
        bytes[at] = how % 2 ? (uint8_t)(how >> 8) : (uint8_t)(bytes[at] ^ (1u << (how >> 8 & 7)));
      }
      accepted += check(bytes, cut);
      total++;
      free(bytes);
    }
    free(original);
  }
  printf("onnx_guard_check: seed %s, %ld mutations, %ld accepted, %ld refused, %d message types\n", argv[1], total,
         accepted, total - accepted, types);
  return 0;
}
