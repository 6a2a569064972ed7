#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ck_cpu.h"

/// Sixteen blocks of weights side by side: rows[i * 16 + l] is element i of block l. Every block is computed by the same
/// operations in the same order in every instruction set.

/// Extremes with zero among them, sum of squares, and zero (else NaN) where all elements are finite.
void ck_block_range(ck_isa isa, const float *rows, ptrdiff_t count, float low[16], float high[16], float signal[16],
                    float finite[16]);

/// One grid for each block, tried: with codes q = round_half_even(clamp(x * inverse, least, greatest)) the sums of x * q
/// and of q * q.
void ck_block_attempt(ck_isa isa, const float *rows, ptrdiff_t count, const float inverse[16], const float least[16],
                      const float greatest[16], float cross[16], float square[16]);

/// The squared error of each block on its grid: q = round_half_even(clamp(x / scale, least, greatest)), r = q * scale.
void ck_block_noise(ck_isa isa, const float *rows, ptrdiff_t count, const float scale[16], const float least[16],
                    const float greatest[16], float noise[16]);

/// The low byte of q + zero to codes[i * 16 + l], by the same q.
void ck_block_encode(ck_isa isa, const float *rows, ptrdiff_t count, const float scale[16], const float least[16],
                     const float greatest[16], const float zero[16], uint8_t *codes);
