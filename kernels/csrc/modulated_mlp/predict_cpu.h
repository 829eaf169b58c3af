// LM-LIIF's render perceptron as training needs it, on the processor: what every input pixel predicts for each of its
// samples, before anything is blended, and the gradients of that. kernels/reference/modulated_mlp_predict.py is the
// specification.
#pragma once

#include <cstddef>

#include "modulated_mlp/modulated_mlp_cpu.h"

namespace lutra {

// Row by row, as torch keeps them; numbers alone, so that it is laid over memory that kernels/perceptron.py packs. The
// layout of the weights, of their gradients and of vectors of these.
template <typename T>
struct PredictLayers {
  T way[kUnits][2];  // of the first layer: the way down and right to a sample
  T hidden[kHidden - 1][kUnits][kUnits];
  T hidden_bias[kHidden - 1][kUnits];
  T last[kColours][kUnits];
  T last_bias[kColours];
};
constexpr int kPredictLayers = int(sizeof(PredictLayers<float>) / sizeof(float));

struct PredictJob {
  const float* modulations;  // (kLatent, pixels): scales and shifts, without the latent code
  const float* here;         // (kUnits, pixels): the first layer before its modulation, at the pixel itself
  const float* rows;         // (row_slots, pixels): twice the way down from a pixel to its samples
  const float* cols;         // (col_slots, pixels): to the right
  std::size_t pixels, row_slots, col_slots;
  const PredictLayers<float>* layers;
};

struct PredictSlopes {
  const float* above;  // gradient by the predictions, (kColours, row_slots, col_slots, pixels)
  float* modulations;  // gradients, as large as what they are by
  float* here;
  PredictLayers<float>* layers;
};

// Writes out (kColours, row_slots, col_slots, pixels). The bits of a prediction depend on neither the threads nor what
// else is computed.
void predict(const PredictJob& job, float* out, int threads, MlpPath path);

// Writes the gradients. The pixels are cut into parts, whose number hangs on theirs alone, and the parts' sums are added
// up in order: any number of threads gives the same bits.
void predict_backward(const PredictJob& job, const PredictSlopes& slopes, int threads, MlpPath path);

// For pixels `first` to `last` - 1; backward writes the gradients by the layers, of these pixels alone, to `sums`.
struct PredictLoops {
  void (*forward)(const PredictJob& job, float* out, std::size_t first, std::size_t last);
  void (*backward)(const PredictJob& job, const PredictSlopes& slopes, std::size_t first, std::size_t last,
                   PredictLayers<float>& sums);
};
extern const PredictLoops kPredictPortable, kPredictAvx2, kPredictAvx512;

}  // namespace lutra
