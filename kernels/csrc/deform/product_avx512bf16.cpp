// Matrix products of pairs of bfloat16 with AVX-512 BF16, which takes numbers below its normal range as zero.
#include "deform/product_vectors.h"

namespace lutra {
namespace {

struct Pairs {
  static inline __m512 add(__m512 sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
};

}  // namespace

void multiply_avx512bf16(const Product& product) { multiply<Pairs>(product); }

void pair_rows_avx512bf16(const Bfloat16* from, std::size_t rows, std::size_t columns, std::uint32_t* to) {
  for (std::size_t row = 0; row < rows; row += 2, to += columns) {
    const Bfloat16* upper = from + row * columns;
    const Bfloat16* lower = upper + columns;
    if (row + 1 < rows) {
      for (std::size_t n = 0; n < columns; ++n) to[n] = upper[n].bits | std::uint32_t(lower[n].bits) << 16;
    } else {
      for (std::size_t n = 0; n < columns; ++n) to[n] = upper[n].bits;
    }
  }
}

void round_avx512bf16(const float* from, std::size_t count, Bfloat16* to) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
    std::memcpy(to + i, &rounded, sizeof rounded);
  }
  for (; i < count; ++i) to[i] = narrow(from[i]);
}

}  // namespace lutra
