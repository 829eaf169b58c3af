// A picture of codes resampled along rows and columns by runs of weighted pixels, on the processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "resample/resample_cpu.h"

namespace lutra {

struct ResampleCodesJob {
  const void* picture;  // (rows.pixels, cols.pixels, channels), of std::uint16_t where `is_wide`, else of std::uint8_t
  bool is_wide;
  std::size_t channels;
  ResampleAxis rows, cols;
  float* out;  // (channels, rows.samples, cols.samples), as shares of the largest code
};

// Writes job.out. A path that this processor lacks gives way to the next slower one. The bits of a sample depend on
// neither the threads nor what else is computed.
void resample_codes(const ResampleCodesJob& job, int threads, ResamplePath path);

constexpr std::size_t kResampleBeyond = 16;  // floats that may be read behind a row; none of them counts

// Writes rows `first` to `last` - 1 of each plane of out; one function a set of instructions. `room` holds a row of the
// picture and kResampleBeyond more, which begin as numbers.
using ResampleCodesBand = void(const ResampleCodesJob& job, std::size_t first, std::size_t last, float* room);
ResampleCodesBand resample_codes_band_portable, resample_codes_band_avx2, resample_codes_band_avx512;

}  // namespace lutra
