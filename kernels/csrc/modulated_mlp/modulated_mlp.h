// The shape of LM-LIIF's render perceptron, for the processor and for CUDA: six hidden layers of sixteen units, each
// scaled and shifted by the modulations of an input pixel, and a last layer of three colours.
//
// Each of its four neighbours predicts a sample: the first layer reads the neighbour's latent code, the way from it to
// the sample (times two) and the size of an output pixel. The predictions are blended bilinearly and added to a base,
// which has a value for each sample. kernels/reference/modulated_mlp.py is the specification.
// Source: He and Jin, "Latent Modulated Function", CVPR 2024.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

constexpr int kUnits = 16;   // of a hidden layer, and values of a latent code
constexpr int kHidden = 6;   // layers
constexpr int kColours = 3;
constexpr int kNeighbours = 4;  // neighbours of a sample: top left, top right, bottom left, bottom right
// The modulations of an input pixel: the scales layer by layer, then the shifts, then its latent code.
constexpr int kModulations = (2 * kHidden + 1) * kUnits;
constexpr int kShifts = kHidden * kUnits, kLatent = 2 * kHidden * kUnits;

// Column by column, as kernels/perceptron.py packs them; floats alone, so that it is laid over their memory.
struct MlpWeights {
  float first[kUnits + 2][kUnits];  // latent code; way down and right to the sample
  float hidden[kHidden - 1][kUnits][kUnits];
  float bias[kHidden][kUnits];  // the first with what that layer makes of the size of an output pixel
  float last[kUnits][4];  // the fourth colour is 0
  float last_bias[4];
};
constexpr int kMlpWeights = int(sizeof(MlpWeights) / sizeof(float));

// On one axis of the window: the two pixels around a sample, twice the way from each to it, and their shares.
struct Neighbours {
  int pixel[2];
  float way[2], share[2];
};

// `floor` may lie outside the window, where its first and last pixel go on.
LUTRA_INLINE Neighbours neighbours(long long floor, float part, int size) {
  Neighbours both;
  for (int far = 0; far < 2; ++far) {
    const long long pixel = floor < -far ? 0 : floor < size - far ? floor + far : size - 1;
    both.pixel[far] = int(pixel);
    both.way[far] = 2.0f * (float(floor - pixel) + part);
  }
  both.share[0] = 1.0f - part;
  both.share[1] = part;
  return both;
}

}  // namespace lutra
