// Matrix products in whole AVX-512 vectors, of float32 or of pairs of bfloat16, for matrices that lie in the cache.
//
// A library that takes a processor for less than it is multiplies float32 at half its speed; docs/kernels.md has the
// figures. Sums are float32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared/bfloat16.h"

namespace lutra {

// c (rows, columns) = a (rows, inner) b (inner, columns), or that much more. Values of a and b are words of 32 bits: a
// float32, or the bfloat16 of two neighbours along the inner side, which then counts pairs. Steps are in words; b and c
// go by 1 along their rows, a as it likes.
struct Product {
  const void* a;
  std::ptrdiff_t a_down, a_right;
  const void* b;
  std::ptrdiff_t b_down;
  float* c;
  std::ptrdiff_t c_down;
  std::size_t rows, columns, inner;
  bool add;  // to what c holds
};

// Only where the processor has what the name says (cpu_features.h).
void multiply_avx512(const Product& product);
void multiply_avx512bf16(const Product& product);

// Words of (rows + 1) / 2 pairs of rows, each (columns): the upper row in the low half; a last one alone is paired with
// zeros.
void pair_rows_avx512bf16(const Bfloat16* from, std::size_t rows, std::size_t columns, std::uint32_t* to);

void round_avx512bf16(const float* from, std::size_t count, Bfloat16* to);

}  // namespace lutra
