// A block of six rows and four vectors of columns is summed in registers; a piece of b stays in the nearest cache while
// all rows pass by it. What is done with two words is a parameter (`Step`). Each file that includes this compiles its own
// copy (see CMakeLists.txt).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "deform/product_cpu.h"

namespace lutra {
namespace {

constexpr int kLanes = 16;
constexpr int kVectors = 4;          // of columns in a block
constexpr int kRows = 6;             // kRows * kVectors sums, kVectors of b and one of a: 29 registers of 32
constexpr std::size_t kInner = 128;  // rows of b at a time: 32 KiB

struct Block {
  const char* a;
  const char* b;
  float* c;
  __mmask16 last;  // columns of the last vector
};

inline __m512i everywhere(const char* word) {
  std::int32_t value;
  std::memcpy(&value, word, sizeof value);
  return _mm512_set1_epi32(value);
}

template <class Step, int rows, int vectors>
inline void block(const Product& p, const Block& at, std::size_t inner, bool add) {
  const auto mask = [&](int v) { return v == vectors - 1 ? at.last : __mmask16(0xffff); };
  __m512 sums[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      const float* from = at.c + r * p.c_down + v * kLanes;
      sums[r][v] = add ? _mm512_maskz_loadu_ps(mask(v), from) : _mm512_setzero_ps();
    }
  const char* a = at.a;
  const char* b = at.b;
  for (std::size_t k = 0; k < inner; ++k, a += 4 * p.a_right, b += 4 * p.b_down) {
    __m512i beside[vectors];
    for (int v = 0; v < vectors; ++v) beside[v] = _mm512_maskz_loadu_epi32(mask(v), b + 4 * v * kLanes);
    for (int r = 0; r < rows; ++r) {
      const __m512i value = everywhere(a + 4 * r * p.a_down);
      for (int v = 0; v < vectors; ++v) sums[r][v] = Step::add(sums[r][v], value, beside[v]);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      _mm512_mask_storeu_ps(at.c + r * p.c_down + v * kLanes, mask(v), sums[r][v]);
    }
}

// All rows by one piece of b.
template <class Step, int vectors>
inline void piece(const Product& p, Block at, std::size_t inner, bool add) {
  std::size_t left = p.rows;
  const auto pass = [&](int rows) {
    at.a += 4 * rows * p.a_down, at.c += rows * p.c_down, left -= std::size_t(rows);
  };
  for (; left >= kRows; pass(kRows)) block<Step, kRows, vectors>(p, at, inner, add);
  for (; left >= 3; pass(3)) block<Step, 3, vectors>(p, at, inner, add);
  for (; left >= 1; pass(1)) block<Step, 1, vectors>(p, at, inner, add);
}

template <class Step>
inline void multiply(const Product& p) {
  constexpr std::size_t kWidth = kVectors * kLanes;
  for (std::size_t k = 0; k < p.inner; k += kInner) {
    const std::size_t inner = p.inner - k < kInner ? p.inner - k : kInner;
    const char* a = static_cast<const char*>(p.a) + 4 * std::ptrdiff_t(k) * p.a_right;
    const char* b = static_cast<const char*>(p.b) + 4 * std::ptrdiff_t(k) * p.b_down;
    const bool add = p.add || k > 0;
    for (std::size_t n = 0; n < p.columns; n += kWidth) {
      const std::size_t width = p.columns - n < kWidth ? p.columns - n : kWidth;
      const std::size_t vectors = (width + kLanes - 1) / kLanes, over = vectors * kLanes - width;
      const Block at{a, b + 4 * n, p.c + n, __mmask16(0xffffu >> over)};
      if (vectors == 4) piece<Step, 4>(p, at, inner, add);
      if (vectors == 3) piece<Step, 3>(p, at, inner, add);
      if (vectors == 2) piece<Step, 2>(p, at, inner, add);
      if (vectors == 1) piece<Step, 1>(p, at, inner, add);
    }
  }
}

}  // namespace
}  // namespace lutra
