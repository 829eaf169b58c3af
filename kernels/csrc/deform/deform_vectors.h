// The loops of the deformable convolution in vectors of the compiler's, as wide as the file that includes this may use.
//
// A vector is a run of channels, which at every corner lie side by side. The places of a short run of pixels are computed
// at once, tap by tap; then their four corners are blended. A corner outside the picture is read from a row of zeros.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "deform/deform_cpu.h"
#include "deform/deform_place.h"

namespace lutra {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kLanes = kBytes / 4;
constexpr int kRun = 32;  // pixels of one row whose places are computed at once

#define LUTRA_LOOP __attribute__((always_inline)) inline
#define LUTRA_RESTRICT __restrict__
#define LUTRA_PREFETCH_RUN(p) (__builtin_prefetch((p) + kRun), __builtin_prefetch((p) + kRun + 16))

typedef float Vector __attribute__((vector_size(kBytes)));
typedef std::int32_t Integers __attribute__((vector_size(kBytes)));
typedef std::uint32_t Words __attribute__((vector_size(kBytes)));
typedef std::uint16_t Halves __attribute__((vector_size(kBytes / 2)));
typedef float Quad __attribute__((vector_size(16)));

// ---- Loads and stores, always of float32 vectors -------------------------------------------------------------------

LUTRA_LOOP Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// What GCC makes of a conversion takes five instructions.
LUTRA_LOOP Words widened(const Halves& halves) {
#if defined(__AVX512F__)
  return (Words)_mm512_cvtepu16_epi32((__m256i)halves);
#elif defined(__AVX2__)
  return (Words)_mm256_cvtepu16_epi32((__m128i)halves);
#else
  return __builtin_convertvector(halves, Words);
#endif
}

LUTRA_LOOP Vector load(const Bfloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = widened(halves) << 16;
  Vector v;
  std::memcpy(&v, &words, sizeof v);
  return v;
}

LUTRA_LOOP void store(float* to, const Vector& v) { std::memcpy(to, &v, sizeof v); }

// As `narrow`.
LUTRA_LOOP void store(Bfloat16* to, const Vector& v) {
  Words words;
  std::memcpy(&words, &v, sizeof words);
  const Words rounded = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
  const Words kept = v == v ? rounded : (words >> 16) | 0x40u;
  const Halves halves = __builtin_convertvector(kept, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

LUTRA_LOOP float load_one(const float* from) { return *from; }
LUTRA_LOOP float load_one(const Bfloat16* from) { return widen(*from); }

LUTRA_LOOP void store_one(float* to, float value) { *to = value; }
LUTRA_LOOP void store_one(Bfloat16* to, float value) { *to = narrow(value); }

LUTRA_LOOP Quad quarter(const Vector& v, int which) {
  Quad quad;
  std::memcpy(&quad, reinterpret_cast<const char*>(&v) + which * sizeof quad, sizeof quad);
  return quad;
}

LUTRA_LOOP void sum_each(const Vector (&v)[4], float (&sums)[4]) {
  Quad each[4];
  for (int k = 0; k < 4; ++k) {
    each[k] = quarter(v[k], 0);
    for (int which = 1; which < kBytes / 16; ++which) each[k] += quarter(v[k], which);
  }
#if defined(__SSE2__)
  _MM_TRANSPOSE4_PS(each[0], each[1], each[2], each[3]);
  const Quad whole = (each[0] + each[1]) + (each[2] + each[3]);
  std::memcpy(sums, &whole, sizeof whole);
#else
  for (int k = 0; k < 4; ++k) sums[k] = (each[k][0] + each[k][1]) + (each[k][2] + each[k][3]);
#endif
}

// ---- Places --------------------------------------------------------------------------------------------------------

// On one axis: the pixel before each place and how far it is to the next, as `stretch` computes them.
struct Stretches {
  Integers before;
  Vector part;
};

LUTRA_LOOP Integers integers(const Vector& v) { return __builtin_convertvector(v, Integers); }
LUTRA_LOOP Vector floats(const Integers& v) { return __builtin_convertvector(v, Vector); }

LUTRA_LOOP Stretches stretches(const Vector& at, int size) {
  Integers before = integers(at + 1.0f) - 1;
  before = before > size - 1 ? Integers{} + (size - 1) : before;
  before += floats(before) > at;  // a comparison that holds is -1
  return {before, at - floats(before)};
}

// Where one tap of a run of pixels of one row reads: the bits of `find_cell`, for a place that is not all outside.
struct Places {
  std::int32_t corner[4][kRun];  // pixel of its picture: top left, top right, bottom left, bottom right; -1 outside
  float down[kRun], right[kRun];

  LUTRA_LOOP void find(const float* dy, const float* dx, int row, int column, int tap, int count, int height,
                       int width) {
    LUTRA_PREFETCH_RUN(dy);
    LUTRA_PREFETCH_RUN(dx);
    float given[2][kRun];
    if (count < kRun) {
      std::memset(given, 0, sizeof given);
      std::memcpy(given[0], dy, sizeof(float) * std::size_t(count));
      std::memcpy(given[1], dx, sizeof(float) * std::size_t(count));
      dy = given[0], dx = given[1];
    }
    Integers ahead;
    for (int i = 0; i < kLanes; ++i) ahead[i] = column + tap_column(tap) + i;
    for (int i = 0; i < count; i += kLanes, ahead += kLanes) {
      const Vector y = load(dy + i) + float(row + tap_row(tap)), x = load(dx + i) + floats(ahead);
      const Integers inside = (y >= -1.0f) & (y < float(height)) & (x >= -1.0f) & (x < float(width));  // NaN is not
      const Stretches vertical = stretches(inside ? y : Vector{}, height);
      const Stretches horizontal = stretches(inside ? x : Vector{}, width);
      const Integers top = inside & (vertical.before >= 0), bottom = inside & (vertical.before < height - 1);
      const Integers left = horizontal.before >= 0, over = horizontal.before < width - 1;
      const Integers first = vertical.before * width + horizontal.before;
      keep(corner[0] + i, first | ~(top & left));
      keep(corner[1] + i, (first + 1) | ~(top & over));
      keep(corner[2] + i, (first + width) | ~(bottom & left));
      keep(corner[3] + i, (first + width + 1) | ~(bottom & over));
      store(down + i, vertical.part);
      store(right + i, horizontal.part);
    }
  }

 private:
  static LUTRA_LOOP void keep(std::int32_t* to, const Integers& v) { std::memcpy(to, &v, sizeof v); }
};

// As `cell_weight`, times `scale`.
struct Weights {
  float of[4];
};

LUTRA_LOOP Weights weights(const Places& places, int i, float scale) {
  const float down = places.down[i], right = places.right[i];
  const float above = (1.0f - down) * scale, below = down * scale;
  return {{above * (1.0f - right), above * right, below * (1.0f - right), below * right}};
}

template <typename T>
struct Corners {
  const T* at[4];
};

template <typename T>
LUTRA_LOOP Corners<T> corners(const Places& places, int i, const T* x, const T* zeros, std::size_t channels) {
  Corners<T> result;
  for (int k = 0; k < 4; ++k) {
    const std::int32_t pixel = places.corner[k][i];
    result.at[k] = pixel < 0 ? zeros : x + std::size_t(pixel) * channels;
  }
  return result;
}

// Calls step(places, tap, first pixel, how many, sample, where the first stands in the mask) for every run of pixels of
// one row and every tap.
template <typename T, class Step>
LUTRA_LOOP void for_each_run(const DeformJob<T>& job, std::size_t first, std::size_t last, Step step) {
  const std::size_t plane = job.plane();
  Places places;
  for (std::size_t at = first; at < last;) {
    const std::size_t sample = at / plane, within = at % plane;
    const int row = int(within / job.width), column = int(within % job.width);
    std::size_t count = std::size_t(job.width - column);
    if (count > last - at) count = last - at;
    if (count > kRun) count = kRun;
    for (int tap = 0; tap < kTaps; ++tap) {
      const float* dy = job.offset + (sample * 2 * kTaps + 2 * tap) * plane + within;
      places.find(dy, dy + plane, row, column, tap, int(count), job.height, job.width);
      LUTRA_PREFETCH_RUN(job.mask + (sample * kTaps + tap) * plane + within);
      step(places, tap, at, int(count), sample, (sample * kTaps + tap) * plane + within);
    }
    at += count;
  }
}

// ---- Columns -------------------------------------------------------------------------------------------------------

template <typename T>
LUTRA_LOOP void blend_corners(const Corners<T>& from, const Weights& w, T* LUTRA_RESTRICT to, int channels) {
  int c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    store(to + c, (w.of[0] * load(from.at[0] + c) + w.of[1] * load(from.at[1] + c)) +
                      (w.of[2] * load(from.at[2] + c) + w.of[3] * load(from.at[3] + c)));
  }
  for (; c < channels; ++c) {
    store_one(to + c, (w.of[0] * load_one(from.at[0] + c) + w.of[1] * load_one(from.at[1] + c)) +
                          (w.of[2] * load_one(from.at[2] + c) + w.of[3] * load_one(from.at[3] + c)));
  }
}

template <typename T>
void columns_loop(const DeformJob<T>& job, std::size_t first, std::size_t last, T* columns) {
  const std::size_t channels = std::size_t(job.channels);
  for_each_run(job, first, last, [&](const Places& places, int tap, std::size_t at, int count, std::size_t sample,
                                     std::size_t in_mask) {
    const T* x = job.x + sample * job.plane() * channels;
    T* to = columns + ((at - job.first) * kTaps + tap) * channels;
    for (int i = 0; i < count; ++i, to += kTaps * channels) {
      blend_corners(corners(places, i, x, job.zeros, channels), weights(places, i, job.mask[in_mask + i]), to,
                    job.channels);
    }
  });
}

// ---- Gradients -----------------------------------------------------------------------------------------------------

// The gradient by a column, in product with each of its four corners.
template <typename T>
LUTRA_LOOP void corner_products(const Corners<T>& from, const float* by_column, int channels, float (&products)[4]) {
  Vector sums[4] = {};
  int c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    const Vector g = load(by_column + c);
    for (int k = 0; k < 4; ++k) sums[k] += g * load(from.at[k] + c);
  }
  sum_each(sums, products);
  for (; c < channels; ++c) {
    const float g = by_column[c];
    for (int k = 0; k < 4; ++k) products[k] += g * load_one(from.at[k] + c);
  }
}

template <typename T>
void gradients_loop(const DeformJob<T>& job, std::size_t first, std::size_t last, const DeformGradients<T>& wanted) {
  const std::size_t channels = std::size_t(job.channels), plane = job.plane();
  for_each_run(job, first, last, [&](const Places& places, int tap, std::size_t at, int count, std::size_t sample,
                                     std::size_t in_mask) {
    const T* x = job.x + sample * plane * channels;
    std::size_t column = ((at - job.first) * kTaps + tap) * channels;
    const std::size_t in_offset = in_mask + (sample * kTaps + tap) * plane;
    for (int i = 0; i < count; ++i, column += kTaps * channels) {
      const Corners<T> from = corners(places, i, x, job.zeros, channels);
      const float strength = job.mask[in_mask + i];
      if (wanted.columns) blend_corners(from, weights(places, i, strength), wanted.columns + column, job.channels);
      if (!wanted.by_mask && !wanted.by_offset) continue;
      float by[4];
      corner_products(from, wanted.by_columns + column, job.channels, by);
      if (wanted.by_mask) {
        const Weights w = weights(places, i, 1.0f);
        wanted.by_mask[in_mask + i] = (w.of[0] * by[0] + w.of[1] * by[1]) + (w.of[2] * by[2] + w.of[3] * by[3]);
      }
      if (wanted.by_offset) {
        wanted.by_offset[in_offset + i] = strength * blend(by[2] - by[0], by[3] - by[1], places.right[i]);
        wanted.by_offset[in_offset + plane + i] = strength * blend(by[1] - by[0], by[3] - by[2], places.down[i]);
      }
    }
  });
}

LUTRA_LOOP void add_scaled(const float* from, float weight, float* LUTRA_RESTRICT to, int count) {
  int c = 0;
  for (; c + kLanes <= count; c += kLanes) store(to + c, load(to + c) + weight * load(from + c));
  for (; c < count; ++c) to[c] += weight * from[c];
}

template <typename T>
void scatter_loop(const DeformJob<T>& job, int first_channel, int last_channel, const float* by_columns,
                  float* by_x) {
  const std::size_t channels = std::size_t(job.channels);
  for_each_run(job, job.first, job.last, [&](const Places& places, int tap, std::size_t at, int count,
                                             std::size_t sample, std::size_t in_mask) {
    float* to = by_x + sample * job.plane() * channels + first_channel;
    const float* from = by_columns + ((at - job.first) * kTaps + tap) * channels + first_channel;
    for (int i = 0; i < count; ++i, from += kTaps * channels) {
      const Weights w = weights(places, i, job.mask[in_mask + i]);
      for (int k = 0; k < 4; ++k) {
        const std::int32_t pixel = places.corner[k][i];
        if (pixel >= 0) add_scaled(from, w.of[k], to + std::size_t(pixel) * channels, last_channel - first_channel);
      }
    }
  });
}

template <typename T>
constexpr DeformLoops<T> kLoops = {&columns_loop<T>, &gradients_loop<T>, &scatter_loop<T>};

}  // namespace
}  // namespace lutra
