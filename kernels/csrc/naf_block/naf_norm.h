// The norm of a NAF block: the channels of each pixel to mean 0 and variance 1, then gain and offset.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>

#include "naf_block/naf_operand.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

constexpr float kEpsilon = 1e-6f;  // added to the variance
constexpr int kParts = 16 / kLanes;  // vectors that add up side by side: sixteen sums, whatever the vector's width

#if defined(__SSE2__)
#if defined(__AVX512F__)
#define LUTRA_WIDE(name) _mm512_##name
#elif defined(__AVX2__)
#define LUTRA_WIDE(name) _mm256_##name
#else
#define LUTRA_WIDE(name) _mm_##name
#endif

// Of each four lanes, the upper two added to the lower two: of `a` in the lower half, of `b` in the upper one.
LUTRA_LOOP Vector add_twos(const Vector& a, const Vector& b) {
  return LUTRA_WIDE(shuffle_ps)(a, b, 0x44) + LUTRA_WIDE(shuffle_ps)(a, b, 0xee);
}
// Of each four lanes, neighbours: of `a` in the lower half, of `b` in the upper one.
LUTRA_LOOP Vector add_neighbours(const Vector& a, const Vector& b) {
  return LUTRA_WIDE(shuffle_ps)(a, b, 0x88) + LUTRA_WIDE(shuffle_ps)(a, b, 0xdd);
}
#undef LUTRA_WIDE

// The sum of the lanes of each, in as many lanes: the upper half to the lower half, again and again.
LUTRA_LOOP Vector totals(const Vector (&of)[kLanes]) {
  Vector fours[4];
  LUTRA_UNROLL
  for (int i = 0; i < 4; ++i) {
#if defined(__AVX512F__)
    const auto halves = [](__m512 a, __m512 b) __attribute__((always_inline)) {
      return _mm512_shuffle_f32x4(a, b, 0x44) + _mm512_shuffle_f32x4(a, b, 0xee);
    };
    const __m512 lower = halves(of[i], of[4 + i]), upper = halves(of[8 + i], of[12 + i]);
    fours[i] = _mm512_shuffle_f32x4(lower, upper, 0x88) + _mm512_shuffle_f32x4(lower, upper, 0xdd);
#elif defined(__AVX2__)
    fours[i] = _mm256_permute2f128_ps(of[i], of[4 + i], 0x20) + _mm256_permute2f128_ps(of[i], of[4 + i], 0x31);
#else
    fours[i] = of[i];
#endif
  }
  return add_neighbours(add_twos(fours[0], fours[1]), add_twos(fours[2], fours[3]));
}
#else
LUTRA_LOOP Vector totals(const Vector (&of)[kLanes]) {
  Vector sums;
  for (int i = 0; i < kLanes; ++i) sums[i] = (of[i][0] + of[i][2]) + (of[i][1] + of[i][3]);
  return sums;
}
#endif

LUTRA_LOOP Vector root(const Vector& v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(v);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(v);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(v);
#else
  return Vector{__builtin_sqrtf(v[0]), __builtin_sqrtf(v[1]), __builtin_sqrtf(v[2]), __builtin_sqrtf(v[3])};
#endif
}

// For kLanes pixels the sums over their channels, of what `add` makes of sums so far, a pixel and its channels in a vector.
template <typename Add>
LUTRA_LOOP Vector sum_channels(const float* from, Size channels, const Add& add) {
  Vector sums[kLanes];
  LUTRA_UNROLL
  for (int p = 0; p < kLanes; ++p) {
    Vector parts[kParts] = {};
    for (Size c = 0; c < channels; c += 16) {
      LUTRA_UNROLL
      for (int i = 0; i < kParts; ++i) parts[i] = add(parts[i], p, load(from + p * channels + c + i * kLanes));
    }
    LUTRA_UNROLL
    for (int step = kParts / 2; step > 0; step /= 2) {
      LUTRA_UNROLL
      for (int i = 0; i < step; ++i) parts[i] += parts[i + step];
    }
    sums[p] = parts[0];
  }
  return totals(sums);
}

// Each pixel's channels to mean 0 and variance 1, then gain and offset: kLanes pixels side by side, for the steps of one
// wait for each other.
__attribute__((noinline)) void normalise(const float* from, Size pixels, Size channels, const float* gain,
                                         const float* offset, Operand* to) {
  const float share = 1.0f / float(channels);
  in_groups(pixels, kLanes, [&](Size at) __attribute__((always_inline)) {
    const float* const group = from + at * channels;
    alignas(64) float means[kLanes], factors[kLanes];
    const Vector mean = sum_channels(group, channels, [](const Vector& sum, int, const Vector& value)
        __attribute__((always_inline)) { return sum + value; }) * share;
    store(means, mean);
    const Vector squares = sum_channels(group, channels, [&](const Vector& sum, int p, const Vector& value)
        __attribute__((always_inline)) {
      const Vector apart = value - everywhere(means[p]);
      return multiply_add(apart, apart, sum);
    });
    store(factors, 1.0f / root(squares * share + kEpsilon));
    for (Size c = 0; c < channels; c += kLanes) {
      const Vector by = load(gain + c), more = load(offset + c);
      LUTRA_UNROLL
      for (int p = 0; p < kLanes; ++p) {
        const Vector normed = (load(group + p * channels + c) - everywhere(means[p])) * everywhere(factors[p]);
        store(to + (at + p) * channels + c, multiply_add(normed, by, more));
      }
    }
  });
}

}  // namespace
}  // namespace lutra
