// Resampling in vectors of the compiler's, as wide as the file that includes this may use.
//
// As many rows as a vector has lanes are made at a time, a strip of columns after the other. Down the columns the lanes
// are neighbouring pixels, which lie side by side. What comes of it is turned, so that along the rows the lanes are the
// rows: each tap is then one load and one weight for all of them, wherever the samples lie. The samples are turned back.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include "shared/lanes.h"
#include "resample/resample_cpu.h"

namespace lutra {
namespace {

struct Span {
  std::size_t begin, end;
  LUTRA_LOOP std::size_t size() const { return end - begin; }
};

LUTRA_LOOP std::size_t at_most(std::size_t limit, std::size_t n) { return n < limit ? n : limit; }

// ---- Squares -------------------------------------------------------------------------------------------------------

using Square = Vector[kLanes];

// The lanes of a and b in turn.
LUTRA_LOOP void interleave(const Vector& a, const Vector& b, Vector& low, Vector& high) {
#if defined(__AVX512F__)
  const __m512i from_low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i from_high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  low = _mm512_permutex2var_ps(a, from_low, b);
  high = _mm512_permutex2var_ps(a, from_high, b);
#elif defined(__AVX2__)
  const __m256 even = _mm256_unpacklo_ps(a, b), odd = _mm256_unpackhi_ps(a, b);
  low = _mm256_permute2f128_ps(even, odd, 0x20);
  high = _mm256_permute2f128_ps(even, odd, 0x31);
#else
  low = Vector{a[0], b[0], a[1], b[1]};
  high = Vector{a[2], b[2], a[3], b[3]};
#endif
}

// Rows become columns: each vector is interleaved with the one half a square further, as often as a side has halves.
LUTRA_LOOP void turn(Square& square) {
  LUTRA_UNROLL
  for (int side = kLanes; side > 1; side /= 2) {
    Square turned;
    LUTRA_UNROLL
    for (int i = 0; i < kLanes / 2; ++i) interleave(square[i], square[i + kLanes / 2], turned[2 * i], turned[2 * i + 1]);
    LUTRA_UNROLL
    for (int i = 0; i < kLanes; ++i) square[i] = turned[i];
  }
}

// `rows` (kLanes, width) becomes `columns` (width, kLanes); the width is whole vectors.
LUTRA_LOOP void turn_all(const float* rows, std::size_t width, float* columns) {
  for (std::size_t x = 0; x < width; x += kLanes, columns += kLanes * kLanes) {
    Square square;
    LUTRA_UNROLL
    for (int i = 0; i < kLanes; ++i) square[i] = load(rows + i * width + x);
    turn(square);
    LUTRA_UNROLL
    for (int i = 0; i < kLanes; ++i) store(columns + i * kLanes, square[i]);
  }
}

// ---- Taps ----------------------------------------------------------------------------------------------------------

// The last pixels of a row may not fill a vector; what lies beyond them counts as 0.
template <bool kWhole>
LUTRA_LOOP Vector load_pixels(const float* from, std::size_t left) {
  if (kWhole) return load(from);
  float padded[kLanes] = {};
  std::memcpy(padded, from, left * sizeof(float));
  return load(padded);
}

// Neighbouring pixels of a resampled row, of which `left` are left in the planes.
template <bool kWhole>
LUTRA_LOOP Vector blend_rows(const ResampleAxis& rows, const float* from, const float* weight, std::size_t width,
                             std::size_t left) {
  Vector sum{};
  for (std::size_t k = 0; k < rows.taps; ++k, from += width) {
    sum = multiply_add(everywhere(weight[k]), load_pixels<kWhole>(from, left), sum);
  }
  return sum;
}

// One row, from pixel `begin` on, `count` pixels, which are whole vectors.
LUTRA_LOOP void blend_row(const ResampleJob& job, const float* plane, std::size_t row, std::size_t begin,
                          std::size_t count, float* out) {
  const std::size_t width = job.cols.pixels;
  const float* const weight = job.rows.weight + row * job.rows.taps;
  const float* const from = plane + std::size_t(job.rows.first[row]) * width + begin;
  for (std::size_t x = 0; x < count; x += kLanes) {
    const std::size_t left = width - begin - x;
    const Vector sum = left >= kLanes ? blend_rows<true>(job.rows, from + x, weight, width, left)
                                      : blend_rows<false>(job.rows, from + x, weight, width, left);
    store(out + x, sum);
  }
}

// One sample of each row; `columns` holds the pixels from `begin` on, (pixels, kLanes).
LUTRA_LOOP Vector blend_columns(const ResampleAxis& cols, const float* columns, std::size_t begin, std::size_t sample) {
  const float* const weight = cols.weight + sample * cols.taps;
  const float* from = columns + (std::size_t(cols.first[sample]) - begin) * kLanes;
  Vector sum{};
  for (std::size_t k = 0; k < cols.taps; ++k, from += kLanes) {
    sum = multiply_add(everywhere(weight[k]), load(from), sum);
  }
  return sum;
}

// ---- Bands ---------------------------------------------------------------------------------------------------------

// Writes samples of as many rows as `rows` from `out` on, which lie cols.samples apart.
LUTRA_LOOP void blend_strip(const ResampleAxis& cols, const float* columns, std::size_t begin, const Span& samples,
                            std::size_t rows, float* out) {
  for (std::size_t at = samples.begin; at < samples.end; at += kLanes) {
    const std::size_t count = at_most(kLanes, samples.end - at);
    Square square;
    LUTRA_UNROLL
    for (int i = 0; i < kLanes; ++i) square[i] = blend_columns(cols, columns, begin, at_most(samples.end - 1, at + i));
    turn(square);
    for (std::size_t row = 0; row < rows; ++row) {
      float* const to = out + row * cols.samples + at;
      if (count == kLanes) store(to, square[row]);
      else std::memcpy(to, &square[row], count * sizeof(float));
    }
  }
}

// Rows of one plane, no more than lanes.
LUTRA_LOOP void resample_rows(const ResampleJob& job, std::size_t plane, const Span& rows, float* room) {
  const ResampleAxis& cols = job.cols;
  const float* const from = job.planes + plane * job.rows.pixels * cols.pixels;
  float* const out = job.out + (plane * job.rows.samples + rows.begin) * cols.samples;
  for (std::size_t at = 0; at < cols.samples; at += kResampleStrip) {
    const Span samples{at, at_most(cols.samples, at + kResampleStrip)};
    const std::size_t begin = std::size_t(cols.first[at]), end = std::size_t(cols.first[samples.end - 1]) + cols.taps;
    const std::size_t width = (end - begin + kLanes - 1) / kLanes * kLanes;
    float* const columns = room + kLanes * width;
    for (std::size_t i = 0; i < rows.size(); ++i) blend_row(job, from, rows.begin + i, begin, width, room + i * width);
    turn_all(room, width, columns);
    blend_strip(cols, columns, begin, samples, rows.size(), out);
  }
}

LUTRA_LOOP void resample_band(const ResampleJob& job, std::size_t first, std::size_t last, float* room) {
  while (first < last) {
    const std::size_t plane = first / job.rows.samples, row = first % job.rows.samples;
    const Span rows{row, at_most(job.rows.samples, row + at_most(kLanes, last - first))};
    resample_rows(job, plane, rows, room);
    first += rows.size();
  }
}

}  // namespace
}  // namespace lutra
