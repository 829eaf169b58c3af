// What the 1x1 products of a NAF block take: float32, or bfloat16 where the instructions add up two products at a time.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shared/bfloat16.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

using Size = std::size_t;

// `Factors`: a vector of operands, two of bfloat16 in each lane.
#if defined(__AVX512BF16__)
using Operand = Bfloat16;
typedef __m512bh Factors;

LUTRA_LOOP Factors load_factors(const Bfloat16* from) { return (Factors)_mm512_loadu_si512(from); }
LUTRA_LOOP Factors factors_everywhere(const Bfloat16* from) {
  std::int32_t pair;
  std::memcpy(&pair, from, sizeof pair);
  return (Factors)_mm512_set1_epi32(pair);
}
LUTRA_LOOP Vector multiply_add(const Factors& a, const Factors& b, const Vector& sum) {
  return _mm512_dpbf16_ps(sum, a, b);
}
LUTRA_LOOP void store(Bfloat16* to, const Vector& v) {
  const __m256bh rounded = _mm512_cvtneps_pbh(v);
  std::memcpy(to, &rounded, sizeof rounded);
}
#else
using Operand = float;
typedef Vector Factors;

LUTRA_LOOP Factors load_factors(const float* from) { return load(from); }
LUTRA_LOOP Factors factors_everywhere(const float* from) { return everywhere(*from); }
#endif
constexpr Size kPair = sizeof(float) / sizeof(Operand);  // numbers in a lane

// Where groups of pixels begin; what is fewer than a group has room for one.
template <typename Each>
LUTRA_LOOP void in_groups(Size pixels, Size group, const Each& each) {
  for (Size at = 0; at < pixels; at += group) each(at + group <= pixels || pixels < group ? at : pixels - group);
}

}  // namespace
}  // namespace lutra
