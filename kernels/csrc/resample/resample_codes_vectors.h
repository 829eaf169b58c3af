// Resampling of codes in vectors of the compiler's, as wide as the file that includes this may use.
//
// A row of samples is made at a time: first what its pixels are down the columns, where the lanes are neighbouring codes,
// which lie side by side whatever channel they are of; of that, along the row, each sample, where the lanes are the
// channels of a pixel and what lies behind them, which is not kept.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include "resample/resample_codes_cpu.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

using Size = std::size_t;

constexpr int kBeside = 4;     // vectors of codes in flight down the columns
constexpr int kChannels = 4;   // lanes of a pixel
constexpr int kInFlight = 4;   // samples in flight along a row

typedef float Pixel __attribute__((vector_size(4 * kChannels)));

LUTRA_LOOP Pixel load_pixel(const float* from) {
  Pixel pixel;
  std::memcpy(&pixel, from, sizeof pixel);
  return pixel;
}

// Rounded as `multiply_add` of lanes.h.
LUTRA_LOOP Pixel add_weighted(const Pixel& pixel, float weight, const Pixel& sum) {
#if defined(__FMA__)
  return _mm_fmadd_ps(pixel, _mm_set1_ps(weight), sum);
#else
  return pixel * Pixel{weight, weight, weight, weight} + sum;
#endif
}

template <typename Code>
LUTRA_LOOP Vector widen(const Code* from) {
  typedef Code Codes __attribute__((vector_size(kLanes * sizeof(Code))));
  Codes codes;
  std::memcpy(&codes, from, sizeof codes);
#if defined(__AVX512F__)
  if constexpr (sizeof(Code) == 1) return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32((__m128i)codes));
  else return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32((__m256i)codes));
#elif defined(__AVX2__)
  if constexpr (sizeof(Code) == 1) return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)codes)));
  else return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32((__m128i)codes));
#else
  return __builtin_convertvector(codes, Vector);
#endif
}

// The last codes of a row, which may not fill a vector; what lies beyond counts as 0.
template <typename Code>
LUTRA_LOOP Vector widen_some(const Code* from, Size left) {
  Code padded[kLanes] = {};
  std::memcpy(padded, from, left * sizeof(Code));
  return widen(padded);
}

// Down the columns: `count` codes of a row, (taps) rows of the picture from `from` on, `stride` codes apart.
template <typename Code>
LUTRA_LOOP void blend_rows(const Code* from, Size stride, Size count, const float* weight, Size taps, float* out) {
  Size x = 0;
  for (; x + kBeside * kLanes <= count; x += kBeside * kLanes) {
    Vector sums[kBeside] = {};
    for (Size k = 0; k < taps; ++k) {
      const Vector factor = everywhere(weight[k]);
      LUTRA_UNROLL
      for (int i = 0; i < kBeside; ++i) {
        sums[i] = multiply_add(factor, widen(from + k * stride + x + i * kLanes), sums[i]);
      }
    }
    LUTRA_UNROLL
    for (int i = 0; i < kBeside; ++i) store(out + x + i * kLanes, sums[i]);
  }
  for (; x < count; x += kLanes) {
    const Size left = count - x < kLanes ? count - x : Size(kLanes);
    Vector sum{};
    for (Size k = 0; k < taps; ++k) {
      sum = multiply_add(everywhere(weight[k]), widen_some(from + k * stride + x, left), sum);
    }
    std::memcpy(out + x, &sum, left * sizeof(float));
  }
}

// Along a row: kInFlight samples from `at` on, of channel `channel` and those behind it, to planes `apart` floats apart.
LUTRA_LOOP void blend_columns(const ResampleAxis& cols, const float* row, Size channels, Size channel, Size at,
                              float* out, Size apart, float share) {
  Pixel sums[kInFlight] = {};
  const float *from[kInFlight], *weight[kInFlight];
  LUTRA_UNROLL
  for (int i = 0; i < kInFlight; ++i) {
    const Size sample = at + i < cols.samples ? at + i : cols.samples - 1;
    from[i] = row + Size(cols.first[sample]) * channels + channel;
    weight[i] = cols.weight + sample * cols.taps;
  }
  for (Size k = 0; k < cols.taps; ++k) {
    LUTRA_UNROLL
    for (int i = 0; i < kInFlight; ++i) sums[i] = add_weighted(load_pixel(from[i] + k * channels), weight[i][k], sums[i]);
  }
  const Size kept = channels - channel < kChannels ? channels - channel : Size(kChannels);
  const Size samples = cols.samples - at < kInFlight ? cols.samples - at : Size(kInFlight);
  for (Size i = 0; i < samples; ++i) {
    for (Size c = 0; c < kept; ++c) out[c * apart + i] = sums[i][c] * share;
  }
}

template <typename Code>
LUTRA_LOOP void band_of_codes(const ResampleCodesJob& job, Size first, Size last, float* room) {
  const ResampleAxis &rows = job.rows, &cols = job.cols;
  const Size stride = cols.pixels * job.channels, apart = rows.samples * cols.samples;
  const float share = 1.0f / float(Code(-1));
  for (Size row = first; row < last; ++row) {
    const Code* const from = static_cast<const Code*>(job.picture) + Size(rows.first[row]) * stride;
    blend_rows(from, stride, stride, rows.weight + row * rows.taps, rows.taps, room);
    for (Size channel = 0; channel < job.channels; channel += kChannels) {
      float* const out = job.out + channel * apart + row * cols.samples;
      for (Size at = 0; at < cols.samples; at += kInFlight) {
        blend_columns(cols, room, job.channels, channel, at, out + at, apart, share);
      }
    }
  }
}

LUTRA_LOOP void resample_codes_band(const ResampleCodesJob& job, Size first, Size last, float* room) {
  if (job.is_wide) band_of_codes<std::uint16_t>(job, first, last, room);
  else band_of_codes<std::uint8_t>(job, first, last, room);
}

}  // namespace
}  // namespace lutra
