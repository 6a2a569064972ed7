#pragma once

#include <stddef.h>

/// A fixed set of threads that share the blocks of one loop at a time.
typedef struct ck_pool ck_pool;

/// Does the indices `begin ..< end` of a loop.
typedef void (*ck_range_fn)(void *context, ptrdiff_t begin, ptrdiff_t end);

/// A pool of `threads` threads, the caller of a loop being one of them (so `threads - 1` are started; fewer if the
/// system refuses). Returns NULL without memory. Values below 1 count as 1, above 256 as 256.
ck_pool *ck_pool_create(int threads);

/// Stops and joins the threads. No loop may be running. NULL is allowed.
void ck_pool_destroy(ck_pool *pool);

/// The number of threads, the caller's included; 1 for NULL.
int ck_pool_threads(const ck_pool *pool);

/// The number of processors that this process may use, at least 1.
int ck_processor_count(void);

/// Calls `fn` on disjoint ranges that cover `0 ..< count`, each of `grain` indices (the last may be shorter), on any
/// threads in any order, and returns when all are done. Runs in the calling thread alone if the pool is NULL, if there
/// is one block only, if called from inside a loop, or while another thread is using the pool. `grain` below 1 counts
/// as 1. Idle threads spin for at most 20 microseconds, then sleep.
void ck_parallel_for(ck_pool *pool, ptrdiff_t count, ptrdiff_t grain, ck_range_fn fn, void *context);

/// At least `bytes` of 64-byte aligned memory that belongs to the calling thread until its next call with the same
/// `slot` (0 ..< 4), zeros when it is new, freed when the thread ends. Slots 0 and 1 are for the body of a loop, 2
/// for what calls a loop, 3 belongs to the histogram. Aborts without memory: callers ask for bounded amounts only.
void *ck_scratch(int slot, size_t bytes);
