// What every set of instructions does alike for table super-resolution: the walk over a band of rows in narrow strips,
// with the places of the table's rows computed one row of pixels ahead.
//
// A table is larger than the caches nearest to a processor's arithmetic, so its rows are prefetched a few pixels before
// they are read. Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "eclut/eclut_arithmetic.h"
#include "eclut/eclut_cpu.h"

#if defined(__GNUC__)
#define LUTRA_ALWAYS_INLINE __attribute__((always_inline)) inline
#define LUTRA_PREFETCH(address) __builtin_prefetch(address)
#define LUTRA_RESTRICT __restrict__
#else
#define LUTRA_ALWAYS_INLINE inline
#define LUTRA_PREFETCH(address) static_cast<void>(address)
#define LUTRA_RESTRICT
#endif

namespace lutra {
namespace {

constexpr int kStrip = 160;    // pixels; narrower strips stop and start more often than the cache gives back
constexpr int kPixelRing = 4;  // rows of pixels in hand
constexpr int kPlaceRing = 4;  // rows of places in hand
constexpr int kEarly = 4;      // pixels between the prefetch of rows of the table and reading them
constexpr int kLine = 64;      // bytes the processor fetches at once
constexpr int kValues = 3 * (kStrip + 2 + kEarly);  // colours of the pixels that add to a strip, and kEarly more

// Columns `left` to `left + width - 1` of the picture and `kEclutReach` on each side, a few rows at a time.
struct Strip {
  const EclutJob& job;
  int left, width;
  std::uint8_t pixels[kPixelRing][3 * (kStrip + 2 * kEclutReach)];  // from column left - 2
  std::uint32_t places[kPlaceRing][4][kValues];  // from column left - 1: in which byte of the table its rows begin
};

inline std::uint8_t* pixels_of(Strip& strip, int row) { return strip.pixels[row & (kPixelRing - 1)]; }
inline std::uint32_t* places_of(Strip& strip, int row) { return strip.places[row & (kPlaceRing - 1)][0]; }

inline void read_row(Strip& strip, int row) {
  const EclutJob& job = strip.job;
  const std::uint8_t* from = job.picture + std::size_t(eclut_reflect(row, job.height)) * job.width * 3;
  std::uint8_t* to = pixels_of(strip, row);
  const int first = strip.left - kEclutReach, count = strip.width + 2 * kEclutReach;
  for (int i = 0; i < count; ++i) {
    if (i == kEclutReach) {  // the inside in one piece
      std::memcpy(to + 3 * i, from + 3 * std::size_t(strip.left), 3 * std::size_t(strip.width));
      i += strip.width - 1;
    } else {
      std::memcpy(to + 3 * i, from + 3 * std::size_t(eclut_reflect(first + i, job.width)), 3);
    }
  }
}

inline void place_values(const std::uint8_t* pixels, const std::uint8_t* others, std::uint32_t* LUTRA_RESTRICT places,
                         int count, std::uint32_t row_bytes) {
  for (int i = 0; i < count; ++i) places[i] = eclut_row(pixels[i], others[i]) * row_bytes;
}

// The table's rows that the pixels of `row` choose; the rows above and below have been read.
template <int kRowBytes>
void place_row(Strip& strip, int row) {
  for (int direction = 0; direction < 4; ++direction) {
    const std::uint8_t* pixels = pixels_of(strip, row) + 3;
    const std::uint8_t* beside = pixels_of(strip, row + eclut_neighbour_row(direction));
    const std::uint8_t* others = beside + 3 * (1 + eclut_neighbour_column(direction));
    place_values(pixels, others, places_of(strip, row) + direction * kValues, 3 * (strip.width + 2), kRowBytes);
  }
}

// Prefetches the rows of the table that one colour of a pixel chooses. Always inlined: a function that only prefetches
// looks to GCC as if it did nothing, and its calls go.
template <int kRowBytes>
LUTRA_ALWAYS_INLINE void prefetch(const void* table, const std::uint32_t* places) {
  for (int direction = 0; direction < 4; ++direction) {
    const char* row = static_cast<const char*>(table) + places[direction * kValues];
    for (int byte = 0; byte < kRowBytes; byte += kLine) LUTRA_PREFETCH(row + byte);
  }
}

// The same for the first pixels of a row, which no earlier pixel prefetched.
template <int kRowBytes, int kPixels>
LUTRA_ALWAYS_INLINE void prefetch_first(const void* table, const std::uint32_t* places) {
  for (int value = 0; value < 3 * kPixels; ++value) prefetch<kRowBytes>(table, places + value);
}

// What the nine pixels around each one of a row give by themselves, and half a divisor: 2 * sum + 9, every colour.
inline void add_pixels(Strip& strip, int row, std::int16_t* LUTRA_RESTRICT sums) {
  const std::uint8_t* above = pixels_of(strip, row - 1) + 3;
  const std::uint8_t* here = pixels_of(strip, row) + 3;
  const std::uint8_t* below = pixels_of(strip, row + 1) + 3;
  const int count = 3 * strip.width;
  std::int16_t column[kValues];
  for (int i = 0; i < count + 6; ++i) column[i] = std::int16_t(above[i] + here[i] + below[i]);
  for (int i = 0; i < count; ++i) {
    sums[i] = std::int16_t(2 * (column[i] + column[i + 3] + column[i + 6]) + kEclutHalf);
  }
}

// Calls step(strip, row) from top to bottom when the places of rows row - 1 to row + 1 are known. The band is cut in
// strips of kWidth pixels, each walked for itself.
template <int kRowBytes, int kWidth, class Step>
void walk(const EclutJob& job, int first, int last, Step step) {
  Strip strip{job, 0, 0, {}, {}};
  static_assert(kWidth <= kStrip);
  for (; strip.left < job.width; strip.left += kWidth) {
    strip.width = job.width - strip.left < kWidth ? job.width - strip.left : kWidth;
    for (int row = first - 2; row < first; ++row) read_row(strip, row);
    for (int row = first; row <= first + 1; ++row) {
      read_row(strip, row);
      place_row<kRowBytes>(strip, row - 1);
    }
    for (int row = first; row < last; ++row) {
      read_row(strip, row + 2);
      place_row<kRowBytes>(strip, row + 1);
      step(strip, row);
    }
  }
}

}  // namespace
}  // namespace lutra
