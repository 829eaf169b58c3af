// Table super-resolution on the processor: 8-bit pixels of three interleaved colours in and, enlarged, out.
#pragma once

#include <cstdint>

namespace lutra {

enum class EclutPath { portable, avx2, avx512 };
enum class EclutStep { lr, hr };

// One picture and its table, contiguous; see kernels/reference/eclut.py for what the table holds.
struct EclutJob {
  const std::uint8_t* picture;  // (height, width, 3)
  int height, width;
  const void* table;  // lr: int8 (65536, 9 scale^2); hr: int16 (65536, (scale + 2)^2)
  int scale;          // 2, 3 or 4
  EclutStep step;
  std::uint8_t* out;  // (scale height, scale width, 3)
};

// Writes job.out. A path that this processor lacks gives way to the next slower one.
void eclut(const EclutJob& job, int threads, EclutPath path);

// Writes what rows `first` to `last` - 1 of the picture become; one function a set of instructions.
using EclutBand = void(const EclutJob& job, int first, int last);
EclutBand eclut_band_portable, eclut_band_avx2, eclut_band_avx512;

}  // namespace lutra
