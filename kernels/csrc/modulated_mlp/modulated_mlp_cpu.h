// LM-LIIF's render perceptron on the processor: from the modulations of a window to rows of samples.
#pragma once

#include <cstdint>

#include "shared/bfloat16.h"
#include "modulated_mlp/modulated_mlp.h"

namespace lutra {

enum class MlpPath { portable, avx2, avx512 };

// Where the samples of one axis lie: floor and fraction of each place on the input axis.
struct MlpAxis {
  const std::int64_t* floor;
  const float* part;
  int count;
};

struct MlpJob {
  const void* modulations;  // (height, width, kModulations), float or Bfloat16
  bool of_bfloat16;
  int height, width;  // at least 1
  const float* base;  // (3, rows.count, cols.count)
  MlpAxis rows, cols;
  const MlpWeights* weights;
  float* out;  // (3, rows.count, cols.count)
};

// Writes job.out. A path that this processor lacks gives way to the next slower one. The bits of a sample depend on
// neither the threads nor what else is computed.
void modulated_mlp(const MlpJob& job, int threads, MlpPath path);

// Writes rows `first` to `last` - 1; one function a set of instructions.
using MlpBand = void(const MlpJob& job, int first, int last);
MlpBand modulated_mlp_band_portable, modulated_mlp_band_avx2, modulated_mlp_band_avx512;

}  // namespace lutra
