#include "onnx_arena.h"

#include <stdlib.h>

enum { FIRST_CHUNK = 16 << 10, LARGEST_CHUNK = 1 << 20, LARGE = 64 << 10 };

typedef struct block {
  struct block *next;
  struct block **link;
  size_t size;
  // Keeps the bytes after the header 16-byte aligned.
  size_t reserved;
} block;

struct onnx_arena {
  ProtobufCAllocator allocator;
  uint64_t limit, used, peak;
  block *chunks;
  // Blocks of their own, given back one by one: protobuf-c's notes on messages with very many fields are such.
  block *large;
  uint8_t *free_begin, *free_end;
  uint8_t *last;
  size_t next_chunk;
};

static block *new_block(block **list, size_t size) {
  block *b = malloc(sizeof *b + size);
  if (b == NULL) return NULL;
  b->size = size;
  b->next = *list;
  b->link = list;
  if (b->next) b->next->link = &b->next;
  *list = b;
  return b;
}

static uint8_t *bytes_of(block *b) { return (uint8_t *)(b + 1); }

void *onnx_arena_alloc(onnx_arena *arena, size_t size) {
  if (size > SIZE_MAX - 64) return NULL;
  size = size ? (size + 15) & ~(size_t)15 : 16;
  if (size > arena->limit || arena->used > arena->limit - size) return NULL;
  uint8_t *result;
  if (size >= LARGE) {
    block *b = new_block(&arena->large, size);
    if (b == NULL) return NULL;
    result = bytes_of(b);
  } else {
    if ((size_t)(arena->free_end - arena->free_begin) < size) {
      size_t chunk = arena->next_chunk > size ? arena->next_chunk : size;
      block *b = new_block(&arena->chunks, chunk);
      if (b == NULL) return NULL;
      arena->free_begin = bytes_of(b);
      arena->free_end = arena->free_begin + chunk;
      if (arena->next_chunk < LARGEST_CHUNK) arena->next_chunk *= 2;
    }
    result = arena->free_begin;
    arena->free_begin += size;
    arena->last = result;
  }
  arena->used += size;
  if (arena->used > arena->peak) arena->peak = arena->used;
  return result;
}

static void *allocate(void *arena, size_t size) { return onnx_arena_alloc(arena, size); }

static void release(void *data, void *pointer) {
  onnx_arena *arena = data;
  if (pointer == NULL) return;
  if (pointer == arena->last) {
    arena->used -= (uint64_t)(arena->free_begin - arena->last);
    arena->free_begin = arena->last;
    arena->last = NULL;
    return;
  }
  for (block *b = arena->large; b; b = b->next) {
    if (bytes_of(b) != pointer) continue;
    *b->link = b->next;
    if (b->next) b->next->link = b->link;
    arena->used -= b->size;
    free(b);
    return;
  }
}

onnx_arena *onnx_arena_new(uint64_t limit) {
  onnx_arena *arena = calloc(1, sizeof *arena);
  if (arena == NULL) return NULL;
  arena->allocator = (ProtobufCAllocator){.alloc = allocate, .free = release, .allocator_data = arena};
  arena->limit = limit;
  arena->next_chunk = FIRST_CHUNK;
  return arena;
}

static void free_list(block *b) {
  while (b) {
    block *next = b->next;
    free(b);
    b = next;
  }
}

void onnx_arena_free(onnx_arena *arena) {
  if (arena == NULL) return;
  free_list(arena->chunks);
  free_list(arena->large);
  free(arena);
}

ProtobufCAllocator *onnx_arena_allocator(onnx_arena *arena) { return &arena->allocator; }

uint64_t onnx_arena_used(const onnx_arena *arena) { return arena->used; }

uint64_t onnx_arena_peak(const onnx_arena *arena) { return arena->peak; }
