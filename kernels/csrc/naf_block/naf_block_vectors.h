// A NAF block in vectors of the compiler's, as wide as the file that includes this may use.
//
// A band of rows is walked in strips of columns. Of the first convolution's rows the last three are held, in a ring, with
// zeros beyond the picture; once a row below is there, a row passes all that follows while it is in the nearest caches. The
// products hold a few pixels by two vectors of outputs in registers: a panel of weights stays in the nearest cache while
// all pixels of the strip pass. Each number is made in one order wherever its pixel stands, so any split of a picture
// gives the same bits; a last group of pixels begins earlier, and makes some of them once more.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "naf_block/naf_block_cpu.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

using Size = std::size_t;

#if defined(__AVX512F__)
constexpr int kRows = 12;  // pixels in flight; two vectors of sums each
#else
constexpr int kRows = 6;
#endif
constexpr int kAcross = 4;          // pixels of the depthwise convolution in flight
constexpr Size kRing = 3;           // rows that are held
constexpr Size kStrip = 48;         // columns of a strip, at most: its rows stay in the second cache, the narrow ones in the first
constexpr Size kNormed = 16;        // pixels that are normed side by side
constexpr float kEpsilon = 1e-6f;   // added to the variance

// ---- Where things lie ----------------------------------------------------------------------------------------------

LUTRA_LOOP Size strip_of(const NafSize& size) { return size.width < kStrip ? size.width : kStrip; }

// Pixels that a row has room for: its own, one to each side, and no fewer than a group.
LUTRA_LOOP Size room_across(const NafSize& size) { return strip_of(size) + 2 + kRows; }

std::size_t room_of(const NafSize& size) { return room_across(size) * size.channels * (4 + 2 * kRing); }

// ---- Pixels in and out ---------------------------------------------------------------------------------------------

LUTRA_LOOP void bring(const float* from, Size count, float* to) { std::memcpy(to, from, count * sizeof(float)); }
LUTRA_LOOP void bring(const Bfloat16* from, Size count, float* to) {
  for (Size i = 0; i < count; ++i) {
    const unsigned bits = unsigned(from[i].bits) << 16;
    std::memcpy(to + i, &bits, sizeof bits);
  }
}
LUTRA_LOOP void take(const float* from, Size count, float* to) { std::memcpy(to, from, count * sizeof(float)); }
LUTRA_LOOP void take(const float* from, Size count, Bfloat16* to) {
  for (Size i = 0; i < count; ++i) {
    unsigned bits;
    std::memcpy(&bits, from + i, sizeof bits);
    const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, nan = (bits >> 16) | 0x40u;
    to[i].bits = (unsigned short)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
}

// ---- The norm ------------------------------------------------------------------------------------------------------

constexpr int kParts = 16 / kLanes;  // vectors that add up side by side: sixteen sums, whatever the vector's width

LUTRA_LOOP float total(Vector (&parts)[kParts]) {
  LUTRA_UNROLL
  for (int step = kParts / 2; step > 0; step /= 2) {
    LUTRA_UNROLL
    for (int i = 0; i < step; ++i) parts[i] += parts[i + step];
  }
#if defined(__SSE2__)
#if defined(__AVX512F__)
  const __m512 whole = parts[0];
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(whole), _mm512_extractf32x8_ps(whole, 1));
  const __m128 quad = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#elif defined(__AVX2__)
  const __m256 half = parts[0];
  const __m128 quad = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#else
  const __m128 quad = parts[0];
#endif
  const __m128 pair = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
#else
  return (parts[0][0] + parts[0][2]) + (parts[0][1] + parts[0][3]);
#endif
}

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

// At most kNormed pixels, one step for all of them after the other: the steps of one wait for each other.
LUTRA_LOOP void normalise_some(const float* from, Size pixels, Size channels, float* to) {
  const float share = 1.0f / float(channels);
  alignas(64) float means[kNormed] = {}, factors[kNormed] = {};
  for (Size p = 0; p < pixels; ++p) {
    Vector sums[kParts] = {};
    for (Size c = 0; c < channels; c += 16) {
      LUTRA_UNROLL
      for (int i = 0; i < kParts; ++i) sums[i] += load(from + p * channels + c + i * kLanes);
    }
    means[p] = total(sums) * share;
  }
  for (Size p = 0; p < pixels; ++p) {
    Vector squares[kParts] = {};
    const Vector mean = everywhere(means[p]);
    for (Size c = 0; c < channels; c += 16) {
      LUTRA_UNROLL
      for (int i = 0; i < kParts; ++i) {
        const Vector apart = load(from + p * channels + c + i * kLanes) - mean;
        squares[i] = multiply_add(apart, apart, squares[i]);
      }
    }
    factors[p] = total(squares);
  }
  for (Size p = 0; p < kNormed; p += kLanes) store(factors + p, 1.0f / root(load(factors + p) * share + kEpsilon));
  for (Size p = 0; p < pixels; ++p) {
    const Vector mean = everywhere(means[p]), factor = everywhere(factors[p]);
    for (Size c = p * channels; c < (p + 1) * channels; c += kLanes) store(to + c, (load(from + c) - mean) * factor);
  }
}

// Each pixel's channels to mean 0 and variance 1; gain and offset are in the weights that follow.
__attribute__((noinline)) void normalise(const float* from, Size pixels, Size channels, float* to) {
  for (Size at = 0; at < pixels; at += kNormed) {
    const Size some = pixels - at < kNormed ? pixels - at : kNormed;
    normalise_some(from + at * channels, some, channels, to + at * channels);
  }
}

// ---- Products ------------------------------------------------------------------------------------------------------

// kRows pixels by a panel of kVectors vectors of outputs; `end` has the sums of a pixel.
template <int kVectors, typename End>
LUTRA_LOOP void multiply(const float* pixels, Size channels, const float* panel, const float* bias, const End& end) {
  Vector sums[kRows][kVectors];
  LUTRA_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) sums[r][v] = load(bias + v * kLanes);
  }
  _Pragma("GCC unroll 4")
  for (Size k = 0; k < channels; ++k) {
    Vector column[kVectors];
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) column[v] = load(panel + (k * kVectors + v) * kLanes);
    LUTRA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Vector value = everywhere(pixels[r * channels + k]);
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(column[v], value, sums[r][v]);
    }
  }
  LUTRA_UNROLL
  for (int r = 0; r < kRows; ++r) end(r, sums[r]);
}

// Where the groups of kRows pixels begin; what is fewer than a group has room for one.
template <typename Each>
LUTRA_LOOP void in_groups(Size pixels, Size group, const Each& each) {
  for (Size at = 0; at < pixels; at += group) each(at + group <= pixels || pixels < group ? at : pixels - group);
}

// (pixels, C) -> (pixels, 2C).
__attribute__((noinline)) void widen_channels(const float* from, Size pixels, Size channels, const float* panel,
                                              const float* bias, float* to) {
  for (Size c = 0; c < channels; c += kLanes, panel += 2 * kLanes * channels, bias += 2 * kLanes) {
    in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
      multiply<2>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[2])
          __attribute__((always_inline)) {
        float* const pixel = to + (at + r) * 2 * channels + c;
        store(pixel, sums[0]);
        store(pixel + channels, sums[1]);
      });
    });
  }
}

// (pixels, C) -> (pixels, C), the first half of twice as many channels times the second.
__attribute__((noinline)) void widen_and_gate(const float* from, Size pixels, Size channels, const float* panel,
                                              const float* bias, float* to) {
  for (Size c = 0; c < channels; c += kLanes, panel += 2 * kLanes * channels, bias += 2 * kLanes) {
    in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
      multiply<2>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[2])
          __attribute__((always_inline)) { store(to + (at + r) * channels + c, sums[0] * sums[1]); });
    });
  }
}

template <int kVectors>
LUTRA_LOOP void add_panel(const float* from, Size pixels, Size channels, const float* panel, const float* bias,
                          const float* given, float* to) {
  in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
    multiply<kVectors>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[kVectors])
        __attribute__((always_inline)) {
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        const Size place = (at + r) * channels + v * kLanes;
        store(to + place, sums[v] + load(given + place));
      }
    });
  });
}

// (pixels, C) -> (pixels, C), added to what is given.
__attribute__((noinline)) void add_product(const float* from, Size pixels, Size channels, const float* weights,
                                           const float* bias, const float* given, float* to) {
  Size c = 0;
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {
    add_panel<2>(from, pixels, channels, weights + c * channels, bias + c, given + c, to + c);
  }
  if (c < channels) add_panel<1>(from, pixels, channels, weights + c * channels, bias + c, given + c, to + c);
}

// ---- The depthwise convolution -------------------------------------------------------------------------------------

// kAcross pixels of one vector of channels; `rows` begin one pixel to the left.
LUTRA_LOOP void convolve(const float* const (&rows)[kRing], Size stride, const float* taps, const float* bias,
                         Vector (&sums)[kAcross]) {
  LUTRA_UNROLL
  for (int i = 0; i < kAcross; ++i) sums[i] = load(bias);
  LUTRA_UNROLL
  for (int down = 0; down < 3; ++down) {
    Vector weight[3];
    LUTRA_UNROLL
    for (int right = 0; right < 3; ++right) weight[right] = load(taps + (3 * down + right) * kLanes);
    LUTRA_UNROLL
    for (int j = 0; j < kAcross + 2; ++j) {
      const Vector value = load(rows[down] + j * stride);
      LUTRA_UNROLL
      for (int right = 2; right >= 0; --right) {
        if (j - right >= 0 && j - right < kAcross) {
          sums[j - right] = multiply_add(value, weight[right], sums[j - right]);
        }
      }
    }
  }
}

// Three rows (pixels + 2, 2C) -> (pixels, C).
__attribute__((noinline)) void convolve_and_gate(const float* const (&rows)[kRing], Size pixels, Size channels,
                                                 const float* all_taps, const float* all_biases, float* to) {
  const Size stride = 2 * channels;
  in_groups(pixels, kAcross, [&](Size at) __attribute__((always_inline)) {
    const float *taps = all_taps, *bias = all_biases;
    for (Size c = 0; c < channels; c += kLanes, taps += 18 * kLanes, bias += 2 * kLanes) {
      const Size place = at * stride + c;
      const float* const first[kRing] = {rows[0] + place, rows[1] + place, rows[2] + place};
      const float* const second[kRing] = {first[0] + channels, first[1] + channels, first[2] + channels};
      Vector sums[kAcross], factors[kAcross];
      convolve(first, stride, taps, bias, sums);
      convolve(second, stride, taps + 9 * kLanes, bias + kLanes, factors);
      LUTRA_UNROLL
      for (int i = 0; i < kAcross; ++i) store(to + (at + i) * channels + c, sums[i] * factors[i]);
    }
  });
}

// ---- A strip of columns --------------------------------------------------------------------------------------------

// A strip of one picture, from column `left` to `right` - 1; rows of room_across pixels.
template <typename T>
struct Strip {
  const NafJob& job;
  Size picture, left, right;
  float *given, *normed, *gated, *made;  // (C)
  float* ring[kRing];                    // (2C), beginning one pixel to the left

  Strip(const NafJob& job, Size picture, float* room) : job(job), picture(picture) {
    const Size row = room_across(job.size) * job.size.channels;
    given = room, normed = given + row, gated = normed + row, made = gated + row;
    for (Size i = 0; i < kRing; ++i) ring[i] = made + row + i * 2 * row;
  }

  LUTRA_LOOP Size place(Size row, Size column) const {
    return ((picture * job.size.height + row) * job.size.width + column) * job.size.channels;
  }
  LUTRA_LOOP float* held(Size row) const { return ring[(row + 1) % kRing]; }  // row -1 is the largest number, which wraps

  // The first convolution's row, with zeros where the picture has none.
  void hold(Size row) {
    const NafSize& size = job.size;
    float* const to = held(row);
    const Size pixel = 2 * size.channels;
    if (row >= size.height) {
      std::memset(to, 0, (right - left + 2) * pixel * sizeof(float));
      return;
    }
    const Size begin = left > 0 ? left - 1 : 0, end = right < size.width ? right + 1 : size.width;
    bring(static_cast<const T*>(job.x) + place(row, begin), (end - begin) * size.channels, given);
    normalise(given, end - begin, size.channels, normed);
    widen_channels(normed, end - begin, size.channels, job.packed.wide, job.packed.wide_bias,
                   to + (begin + 1 - left) * pixel);
    if (left == 0) std::memset(to, 0, pixel * sizeof(float));
    if (right == size.width) std::memset(to + (right - left + 1) * pixel, 0, pixel * sizeof(float));
  }

  // All that follows, once the rows around are held.
  void finish(Size row) {
    const NafPacked& packed = job.packed;
    const Size pixels = right - left, channels = job.size.channels;
    const float* const rows[kRing] = {held(row - 1), held(row), held(row + 1)};
    convolve_and_gate(rows, pixels, channels, packed.taps, packed.taps_bias, gated);
    bring(static_cast<const T*>(job.x) + place(row, left), pixels * channels, given);
    add_product(gated, pixels, channels, packed.back + picture * channels * channels,
                packed.back_bias + picture * channels, given, made);
    normalise(made, pixels, channels, normed);
    widen_and_gate(normed, pixels, channels, packed.second, packed.second_bias, gated);
    add_product(gated, pixels, channels, packed.last, packed.last_bias, made, given);
    take(given, pixels * channels, static_cast<T*>(job.out) + place(row, left));
  }
};

// Rows `top` to `bottom` - 1 of one picture.
template <typename T>
void walk(const NafJob& job, Size picture, Size top, Size bottom, float* room) {
  Strip<T> strip(job, picture, room);
  const Size across = strip_of(job.size);
  for (Size left = 0; left < job.size.width; left += across) {
    strip.left = left;
    strip.right = left + across < job.size.width ? left + across : job.size.width;
    strip.hold(top - 1);
    strip.hold(top);
    for (Size row = top; row < bottom; ++row) {
      strip.hold(row + 1);
      strip.finish(row);
    }
  }
}

void band(const NafJob& job, Size first, Size last, float* room) {
  const Size height = job.size.height;
  for (Size picture = first / height; picture * height < last; ++picture) {
    const Size start = picture * height, end = start + height;
    const Size top = (first > start ? first : start) - start, bottom = (last < end ? last : end) - start;
    job.of_bfloat16 ? walk<Bfloat16>(job, picture, top, bottom, room) : walk<float>(job, picture, top, bottom, room);
  }
}

constexpr NafLoops kLoops = {kLanes, room_of, band};

}  // namespace
}  // namespace lutra
