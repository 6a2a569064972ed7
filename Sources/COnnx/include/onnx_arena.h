#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A bump allocator for protobuf-c with a limit: unpacking a graph of 200,000 nodes is three million allocations, and
// all of them end together. Past the limit it returns NULL, which protobuf-c turns into a clean failure.

typedef struct onnx_arena onnx_arena;

onnx_arena *onnx_arena_new(uint64_t limit);
void onnx_arena_free(onnx_arena *arena);

// The allocator to give to protobuf-c; it lives as long as the arena.
ProtobufCAllocator *onnx_arena_allocator(onnx_arena *arena);

// 16-byte aligned; NULL past the limit.
void *onnx_arena_alloc(onnx_arena *arena, size_t size);

// Bytes handed out and not given back, and the most there ever were.
uint64_t onnx_arena_used(const onnx_arena *arena);
uint64_t onnx_arena_peak(const onnx_arena *arena);

#ifdef __cplusplus
}
#endif
