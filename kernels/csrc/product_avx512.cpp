// A block of six rows and four vectors of columns is summed in registers; a piece of b stays in the nearest cache while
// all rows pass by it.
#include <immintrin.h>

#include <cstddef>

#include "product_cpu.h"

namespace lutra {
namespace {

constexpr int kLanes = 16;
constexpr int kVectors = 4;              // of columns in a block
constexpr int kRows = 6;                 // kRows * kVectors sums, kVectors of b and one of a: 29 registers of 32
constexpr std::size_t kInner = 128;      // rows of b at a time: 32 KiB

struct Block {
  const float* a;
  const float* b;
  float* c;
  __mmask16 last;  // columns of the last vector
};

template <int rows, int vectors>
inline void block(const Product& p, const Block& at, std::size_t inner, bool add) {
  const auto mask = [&](int v) { return v == vectors - 1 ? at.last : __mmask16(0xffff); };
  __m512 sums[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      const float* from = at.c + r * p.c_down + v * kLanes;
      sums[r][v] = add ? _mm512_maskz_loadu_ps(mask(v), from) : _mm512_setzero_ps();
    }
  const float* a = at.a;
  const float* b = at.b;
  for (std::size_t k = 0; k < inner; ++k, a += p.a_right, b += p.b_down) {
    __m512 beside[vectors];
    for (int v = 0; v < vectors; ++v) beside[v] = _mm512_maskz_loadu_ps(mask(v), b + v * kLanes);
    for (int r = 0; r < rows; ++r) {
      const __m512 value = _mm512_set1_ps(a[r * p.a_down]);
      for (int v = 0; v < vectors; ++v) sums[r][v] = _mm512_fmadd_ps(value, beside[v], sums[r][v]);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      _mm512_mask_storeu_ps(at.c + r * p.c_down + v * kLanes, mask(v), sums[r][v]);
    }
}

// All rows by one piece of b.
template <int vectors>
inline void piece(const Product& p, Block at, std::size_t inner, bool add) {
  std::size_t left = p.rows;
  const auto pass = [&](int rows) {
    at.a += rows * p.a_down, at.c += rows * p.c_down, left -= std::size_t(rows);
  };
  for (; left >= kRows; pass(kRows)) block<kRows, vectors>(p, at, inner, add);
  for (; left >= 3; pass(3)) block<3, vectors>(p, at, inner, add);
  for (; left >= 1; pass(1)) block<1, vectors>(p, at, inner, add);
}

}  // namespace

void multiply_avx512(const Product& p) {
  constexpr std::size_t kWidth = kVectors * kLanes;
  for (std::size_t k = 0; k < p.inner; k += kInner) {
    const std::size_t inner = p.inner - k < kInner ? p.inner - k : kInner;
    const bool add = p.add || k > 0;
    for (std::size_t n = 0; n < p.columns; n += kWidth) {
      const std::size_t width = p.columns - n < kWidth ? p.columns - n : kWidth;
      const std::size_t vectors = (width + kLanes - 1) / kLanes, over = vectors * kLanes - width;
      const Block at{p.a + std::ptrdiff_t(k) * p.a_right, p.b + std::ptrdiff_t(k) * p.b_down + n, p.c + n,
                     __mmask16(0xffffu >> over)};
      if (vectors == 4) piece<4>(p, at, inner, add);
      if (vectors == 3) piece<3>(p, at, inner, add);
      if (vectors == 2) piece<2>(p, at, inner, add);
      if (vectors == 1) piece<1>(p, at, inner, add);
    }
  }
}

}  // namespace lutra
