#define _GNU_SOURCE
#include "ck_threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OPEN UINT32_C(0x80000000)
enum { SPIN_NANOSECONDS = 20000, CACHE_LINE = 64 };

struct ck_pool {
  pthread_mutex_t owner;
  int helpers;
  pthread_t *threads;
  // The loop. Written by the owner while the door is shut and nobody is inside.
  ck_range_fn fn;
  void *context;
  ptrdiff_t count, grain;
  int stop;
  // Each on a cache line of its own.
  _Alignas(CACHE_LINE) _Atomic uint32_t signal;   // counts loops; helpers wait for a change
  _Alignas(CACHE_LINE) _Atomic uint32_t sleeping; // helpers inside futex wait
  _Alignas(CACHE_LINE) _Atomic uint32_t door;     // OPEN bit and the number of helpers inside
  _Alignas(CACHE_LINE) _Atomic ptrdiff_t next;
};

static _Thread_local int inside_loop;

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Spins until *word differs from value (mask applied) or the time is up; returns the last value seen.
static uint32_t spin_while(_Atomic uint32_t *word, uint32_t mask, uint32_t value) {
  int64_t deadline = 0;
  for (int turn = 0;; turn++) {
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
    if ((seen & mask) != value) return seen;
    if (turn % 16 == 15) {
      int64_t now = nanoseconds();
      if (!deadline)
        deadline = now + SPIN_NANOSECONDS;
      else if (now > deadline)
        return seen;
    }
    relax();
  }
}

static void run_blocks(ck_pool *pool) {
  ptrdiff_t count = pool->count, grain = pool->grain;
  for (;;) {
    ptrdiff_t begin = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (begin > (count - 1) / grain) return;
    begin *= grain;
    pool->fn(pool->context, begin, count - begin < grain ? count : begin + grain);
  }
}

static void *helper(void *argument) {
  ck_pool *pool = argument;
  uint32_t seen = 0;
  inside_loop = 1;
  for (;;) {
    while (spin_while(&pool->signal, UINT32_MAX, seen) == seen) {
      atomic_fetch_add(&pool->sleeping, 1);
      if (atomic_load(&pool->signal) == seen) futex_wait(&pool->signal, seen);
      atomic_fetch_sub(&pool->sleeping, 1);
    }
    seen = atomic_load(&pool->signal);
    uint32_t door = atomic_load(&pool->door);
    while ((door & OPEN) && !atomic_compare_exchange_weak(&pool->door, &door, door + 1)) {}
    if (!(door & OPEN)) continue;
    int stop = pool->stop;
    if (!stop) run_blocks(pool);
    // The last one out of a shut door wakes the owner.
    if (atomic_fetch_sub(&pool->door, 1) == 1) futex_wake(&pool->door, 1);
    if (stop) return NULL;
  }
}

// Opens the door to helpers for one loop; `wanted` of them are woken if they sleep.
static void open_door(ck_pool *pool, int wanted) {
  atomic_store(&pool->next, 0);
  atomic_store(&pool->door, OPEN);
  atomic_fetch_add(&pool->signal, 1);
  if (atomic_load(&pool->sleeping)) futex_wake(&pool->signal, wanted);
}

// Shuts the door and waits for those inside; helpers that never came are not waited for.
static void shut_door(ck_pool *pool) {
  uint32_t door = atomic_fetch_and(&pool->door, ~OPEN) & ~OPEN;
  while (door) {
    door = spin_while(&pool->door, UINT32_MAX, door);
    if (door) futex_wait(&pool->door, door);
    door = atomic_load_explicit(&pool->door, memory_order_acquire);
  }
}

ck_pool *ck_pool_create(int threads) {
  if (threads < 1) threads = 1;
  if (threads > 256) threads = 256;
  ck_pool *pool = aligned_alloc(CACHE_LINE, sizeof(ck_pool));
  if (!pool) return NULL;
  *pool = (ck_pool){.grain = 1};
  pool->threads = calloc((size_t)threads, sizeof(pthread_t));
  if (!pool->threads || pthread_mutex_init(&pool->owner, NULL)) {
    free(pool->threads);
    free(pool);
    return NULL;
  }
  while (pool->helpers < threads - 1 && !pthread_create(&pool->threads[pool->helpers], NULL, helper, pool))
    pool->helpers++;
  return pool;
}

void ck_pool_destroy(ck_pool *pool) {
  if (!pool) return;
  pool->stop = 1;
  open_door(pool, INT_MAX);
  for (int i = 0; i < pool->helpers; i++) pthread_join(pool->threads[i], NULL);
  pthread_mutex_destroy(&pool->owner);
  free(pool->threads);
  free(pool);
}

int ck_pool_threads(const ck_pool *pool) { return pool ? pool->helpers + 1 : 1; }

int ck_processor_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) return 1;
  int count = CPU_COUNT(&set);
  return count < 1 ? 1 : count;
}

void ck_parallel_for(ck_pool *pool, ptrdiff_t count, ptrdiff_t grain, ck_range_fn fn, void *context) {
  if (count <= 0) return;
  if (grain < 1) grain = 1;
  if (!pool || !pool->helpers || count <= grain || inside_loop || pthread_mutex_trylock(&pool->owner)) {
    for (ptrdiff_t begin = 0; begin < count; begin += grain) {
      int last = count - begin <= grain;
      fn(context, begin, last ? count : begin + grain);
      if (last) break;
    }
    return;
  }
  pool->fn = fn;
  pool->context = context;
  pool->count = count;
  pool->grain = grain;
  ptrdiff_t others = (count - 1) / grain;
  open_door(pool, others < pool->helpers ? (int)others : pool->helpers);
  inside_loop = 1;
  run_blocks(pool);
  inside_loop = 0;
  shut_door(pool);
  pthread_mutex_unlock(&pool->owner);
}

enum { SLOTS = 4 };
typedef struct {
  void *memory[SLOTS];
  size_t bytes[SLOTS];
} scratch;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static _Thread_local scratch *thread_scratch;

static void free_scratch(void *argument) {
  scratch *s = argument;
  for (int i = 0; i < SLOTS; i++) free(s->memory[i]);
  free(s);
}

static void make_key(void) {
  if (pthread_key_create(&scratch_key, free_scratch)) abort();
}

void *ck_scratch(int slot, size_t bytes) {
  scratch *s = thread_scratch;
  if (!s) {
    pthread_once(&scratch_once, make_key);
    s = calloc(1, sizeof(scratch));
    if (!s || pthread_setspecific(scratch_key, s)) abort();
    thread_scratch = s;
  }
  if (s->bytes[slot] < bytes) {
    size_t size = (bytes + 4095) / 4096 * 4096;
    void *memory = bytes > SIZE_MAX - 4096 ? NULL : aligned_alloc(CACHE_LINE, size);
    if (!memory) {
      fprintf(stderr, "out of memory: %zu bytes of working space\n", bytes);
      abort();
    }
    memset(memory, 0, size);
    free(s->memory[slot]);
    s->memory[slot] = memory;
    s->bytes[slot] = size;
  }
  return s->memory[slot];
}
