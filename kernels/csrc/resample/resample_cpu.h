// Planes resampled along rows and columns by runs of weighted pixels, on the processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {

enum class ResamplePath { portable, avx2, avx512 };

// Sample i of an axis is the sum of weight[i * taps + k] * pixel[first[i] + k], added up from k = 0 on.
struct ResampleAxis {
  const std::int64_t* first;  // ascending, from 0 to pixels - taps
  const float* weight;        // (samples, taps)
  std::size_t samples, taps;  // at least one tap
  std::size_t pixels;
};

struct ResampleJob {
  const float* planes;  // (count, rows.pixels, cols.pixels)
  std::size_t count;
  ResampleAxis rows, cols;
  float* out;  // (count, rows.samples, cols.samples)
};

// Writes job.out. A path that this processor lacks gives way to the next slower one. The bits of a sample depend on
// neither the threads nor what else is computed.
void resample(const ResampleJob& job, int threads, ResamplePath path);

constexpr std::size_t kResampleStrip = 512;  // samples of a row that are made together
constexpr std::size_t kMostLanes = 16;       // rows that are, at most

struct alignas(64) ResampleLanes {
  float row[kMostLanes];
};

// Writes rows `first` to `last` - 1 of out, counted through the planes; one function a set of instructions. `room` begins
// at a ResampleLanes and holds two for each pixel that the samples of a strip read, and for kMostLanes more.
using ResampleBand = void(const ResampleJob& job, std::size_t first, std::size_t last, float* room);
ResampleBand resample_band_portable, resample_band_avx2, resample_band_avx512;

}  // namespace lutra
