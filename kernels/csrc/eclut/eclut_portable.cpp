// Table super-resolution for any processor, and the choice among the others.
#include "shared/cpu_features.h"
#include "eclut/eclut_strip.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr int kPixelsWorthAThread = 1 << 11;

// ---- Step "lr": each large block gathers thirty-six blocks ------------------------------------------------------

// One colour of one pixel: `sums` in each direction's own orientation.
template <int kScale>
void gather(const std::int8_t* table, const std::uint32_t* const (&places)[3],
            std::int16_t (&sums)[4][kScale * kScale]) {
  for (int down = -1; down <= 1; ++down) {
    for (int right = -1; right <= 1; ++right) {
      const std::uint32_t* chosen = places[1 - down] + 3 * (1 - right);
      for (int direction = 0; direction < 4; ++direction) {
        const int part = eclut_turned(direction, down + 1, right + 1, 3);
        const std::int8_t* block = table + chosen[direction * kValues] + part * kScale * kScale;
        for (int i = 0; i < kScale * kScale; ++i) sums[direction][i] = std::int16_t(sums[direction][i] + block[i]);
      }
    }
  }
}

template <int kScale>
void lr_row(Strip& strip, int row) {
  const EclutJob& job = strip.job;
  const std::int8_t* table = static_cast<const std::int8_t*>(job.table);
  const std::size_t stride = std::size_t(job.width) * kScale * 3;
  std::uint8_t* out = job.out + row * kScale * stride + std::size_t(strip.left) * kScale * 3;
  std::int16_t start[3 * kStrip];
  add_pixels(strip, row, start);
  for (int value = 0; value < 3 * strip.width; ++value) {
    const std::uint32_t* const places[3] = {places_of(strip, row - 1) + value, places_of(strip, row) + value,
                                            places_of(strip, row + 1) + value};
    prefetch<9 * kScale * kScale>(table, places[2] + 3 * (2 + kEarly));
    std::int16_t sums[4][kScale * kScale] = {};
    gather<kScale>(table, places, sums);
    for (int i = 0; i < kScale; ++i) {
      for (int j = 0; j < kScale; ++j) {
        int sum = 0;
        for (int direction = 0; direction < 4; ++direction) {
          sum += sums[direction][eclut_turned(direction, i, j, kScale)];
        }
        const int code = eclut_code(start[value] - kEclutHalf + kEclutUnit * sum);
        out[i * stride + (value / 3 * kScale + j) * 3 + value % 3] = std::uint8_t(code);
      }
    }
  }
}

// ---- Step "hr": each pixel adds a square of scale + 2 values a side --------------------------------------------

constexpr int kSquareStrip = 64;  // pixels; what they add takes more room than their places

template <int kScale>
struct Squares {
  static constexpr int kSide = kScale + 2;
  std::int16_t words[kPlaceRing][3 * (kSquareStrip + 2)][kSide * kSide];

  std::int16_t (*of_row(int row))[kSide * kSide] { return words[row & (kPlaceRing - 1)]; }
};

template <int kScale>
void add_up_row(Strip& strip, int row, Squares<kScale>& squares) {
  constexpr int kSide = kScale + 2;
  const std::int16_t* table = static_cast<const std::int16_t*>(strip.job.table);
  const std::uint8_t* pixels = pixels_of(strip, row) + 3;
  for (int value = 0; value < 3 * (strip.width + 2); ++value) {
    const std::uint32_t* places = places_of(strip, row) + value;
    prefetch<2 * kSide * kSide>(table, places + 3 * kEarly);
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) {
        const int coverage = eclut_coverage(i, j, kScale);
        int sum = 2 * coverage * pixels[value];
        for (int direction = 0; direction < 4; ++direction) {
          const std::int16_t* square = table + places[direction * kValues] / sizeof(std::int16_t);
          sum += eclut_held(square[eclut_turned(direction, i, j, kSide)], coverage);
        }
        squares.of_row(row)[value][i * kSide + j] = std::int16_t(sum);
      }
    }
  }
}

// What the squares around and at `value` add to cell (i, j) of its block.
template <int kScale>
int overlap_sum(Squares<kScale>& squares, int row, int value, int i, int j) {
  constexpr int kSide = kScale + 2;
  int sum = 0;
  for (int down = i == kScale - 1 ? -1 : 0; down <= (i == 0 ? 1 : 0); ++down) {
    for (int right = j == kScale - 1 ? -1 : 0; right <= (j == 0 ? 1 : 0); ++right) {
      const int cell = (i + 1 + down * kScale) * kSide + j + 1 + right * kScale;
      sum += squares.of_row(row - down)[value + 3 * (1 - right)][cell];
    }
  }
  return sum;
}

template <int kScale>
void hr_row(Strip& strip, int row, Squares<kScale>& squares) {
  const EclutJob& job = strip.job;
  const std::size_t stride = std::size_t(job.width) * kScale * 3;
  std::uint8_t* out = job.out + row * kScale * stride + std::size_t(strip.left) * kScale * 3;
  for (int value = 0; value < 3 * strip.width; ++value) {
    for (int i = 0; i < kScale; ++i) {
      for (int j = 0; j < kScale; ++j) {
        const int code = eclut_code(overlap_sum<kScale>(squares, row, value, i, j));
        out[i * stride + (value / 3 * kScale + j) * 3 + value % 3] = std::uint8_t(code);
      }
    }
  }
}

template <int kScale>
void hr_band(const EclutJob& job, int first, int last) {
  Squares<kScale> squares;
  walk<2 * (kScale + 2) * (kScale + 2), kSquareStrip>(job, first, last, [&](Strip& strip, int row) {
    if (row == first) {
      add_up_row<kScale>(strip, row - 1, squares);
      add_up_row<kScale>(strip, row, squares);
    }
    add_up_row<kScale>(strip, row + 1, squares);
    hr_row<kScale>(strip, row, squares);
  });
}

template <int kScale>
void band(const EclutJob& job, int first, int last) {
  if (job.step == EclutStep::hr) return hr_band<kScale>(job, first, last);
  walk<9 * kScale * kScale, kStrip>(job, first, last, [](Strip& strip, int row) { lr_row<kScale>(strip, row); });
}

EclutBand* band_of([[maybe_unused]] EclutPath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == EclutPath::avx512 && has_avx512()) return eclut_band_avx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != EclutPath::portable && has_avx2()) return eclut_band_avx2;
#endif
  return eclut_band_portable;
}

}  // namespace

void eclut_band_portable(const EclutJob& job, int first, int last) {
  if (job.scale == 2) return band<2>(job, first, last);
  if (job.scale == 3) return band<3>(job, first, last);
  return band<4>(job, first, last);
}

void eclut(const EclutJob& job, int threads, EclutPath path) {
  if (job.height <= 0 || job.width <= 0) return;
  EclutBand* const band = band_of(path);
  const std::size_t worth = 1 + std::size_t(job.height) * job.width / kPixelsWorthAThread;
  const int most = worth < std::size_t(threads) ? int(worth) : threads;
  in_bands(std::size_t(job.height), most,
           [&](std::size_t first, std::size_t last) { band(job, int(first), int(last)); });
}

}  // namespace lutra
