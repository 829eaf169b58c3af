// Matrix products of float32 in whole AVX-512 vectors, for matrices that lie in the cache.
//
// A library that takes a processor for less than it is multiplies at half its speed; docs/kernels.md has the figures.
#pragma once

#include <cstddef>

namespace lutra {

// c (rows, columns) = a (rows, inner) b (inner, columns), or that much more. Steps are in values; b and c go by 1 along
// their rows, a as it likes.
struct Product {
  const float* a;
  std::ptrdiff_t a_down, a_right;
  const float* b;
  std::ptrdiff_t b_down;
  float* c;
  std::ptrdiff_t c_down;
  std::size_t rows, columns, inner;
  bool add;  // to what c holds
};

bool has_product();  // whether this processor runs it

void multiply(const Product& product, int threads);
void multiply_avx512(const Product& product);

}  // namespace lutra
