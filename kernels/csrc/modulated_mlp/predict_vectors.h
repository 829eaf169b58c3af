// The perceptron's training in vectors of the compiler's, as wide as the file that includes this may use.
//
// The lanes are neighbouring input pixels, which keep their modulations in the nearest cache while all their samples pass
// the layers. Backward computes the layers anew, so nothing is kept from forward, for a few samples at a time: each sum of
// a weight's gradient is then read and written once for all of them.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstring>

#include "shared/lanes.h"
#include "modulated_mlp/predict_cpu.h"

namespace lutra {
namespace {

#if defined(__AVX512F__)
constexpr int kTile = 16;  // sums of a layer that grow together in registers
#else
constexpr int kTile = 8;
#endif
constexpr int kAtOnce = 4;  // samples of each pixel that go backward together

using Matrix = float[kUnits][kUnits];

// ---- Pixels --------------------------------------------------------------------------------------------------------

// The last pixels may not fill a vector; what lies beyond them counts as 0.
LUTRA_LOOP Vector load_some(const float* from, int count) {
  if (count == kLanes) return load(from);
  float padded[kLanes] = {};
  std::memcpy(padded, from, count * sizeof(float));
  return load(padded);
}

LUTRA_LOOP void store_some(float* to, const Vector& v, int count) {
  if (count == kLanes) store(to, v);
  else std::memcpy(to, &v, count * sizeof(float));
}

// What the pixels of a vector have for all their samples, or the gradients by it.
struct PixelValues {
  Vector scale[kHidden][kUnits], shift[kHidden][kUnits];
  Vector here[kUnits];
};

LUTRA_LOOP void read_pixels(const PredictJob& job, std::size_t at, int count, PixelValues& pixels) {
  const float* from = job.modulations + at;
  for (int layer = 0; layer < kHidden; ++layer) {
    for (int i = 0; i < kUnits; ++i) {
      const std::size_t channel = layer * kUnits + i;
      pixels.scale[layer][i] = load_some(from + channel * job.pixels, count) + 1.0f;
      pixels.shift[layer][i] = load_some(from + (kShifts + channel) * job.pixels, count);
    }
  }
  for (int i = 0; i < kUnits; ++i) pixels.here[i] = load_some(job.here + i * job.pixels + at, count);
}

LUTRA_LOOP void write_slopes(const PredictJob& job, const PredictSlopes& slopes, std::size_t at, int count,
                             const PixelValues& by) {
  float* to = slopes.modulations + at;
  for (int layer = 0; layer < kHidden; ++layer) {
    for (int i = 0; i < kUnits; ++i) {
      const std::size_t channel = layer * kUnits + i;
      store_some(to + channel * job.pixels, by.scale[layer][i], count);
      store_some(to + (kShifts + channel) * job.pixels, by.shift[layer][i], count);
    }
  }
  for (int i = 0; i < kUnits; ++i) store_some(slopes.here + i * job.pixels + at, by.here[i], count);
}

// ---- Layers --------------------------------------------------------------------------------------------------------

// One sample of each pixel: the sums of the layers before they are modulated, and what they give; of all or, where
// `kKept` is 1, of the last that was passed.
template <int kKept>
struct Activations {
  Vector down, right;
  Vector sums[kKept][kUnits], values[kKept][kUnits];
};

// out = bias + matrix v, or of the matrix transposed.
template <bool transposed>
__attribute__((noinline)) void multiply(const Matrix& matrix, const float* bias, const Vector* v, Vector* out) {
  for (int tile = 0; tile < kUnits; tile += kTile) {
    Vector sums[kTile];
    LUTRA_UNROLL
    for (int i = 0; i < kTile; ++i) sums[i] = bias ? everywhere(bias[tile + i]) : Vector{};
    LUTRA_UNROLL
    for (int j = 0; j < kUnits; ++j) {
      LUTRA_UNROLL
      for (int i = 0; i < kTile; ++i) {
        const float weight = transposed ? matrix[j][tile + i] : matrix[tile + i][j];
        sums[i] = multiply_add(everywhere(weight), v[j], sums[i]);
      }
    }
    LUTRA_UNROLL
    for (int i = 0; i < kTile; ++i) out[tile + i] = sums[i];
  }
}

template <int kKept>
LUTRA_LOOP void pass(const PredictLayers<float>& layers, const PixelValues& pixels, Activations<kKept>& made) {
  for (int i = 0; i < kUnits; ++i) {
    const Vector down = multiply_add(everywhere(layers.way[i][0]), made.down, pixels.here[i]);
    made.sums[0][i] = multiply_add(everywhere(layers.way[i][1]), made.right, down);
  }
  for (int layer = 0; layer < kHidden; ++layer) {
    Vector* const sums = made.sums[layer % kKept];
    if (layer) {
      const Vector* before = made.values[(layer - 1) % kKept];
      multiply<false>(layers.hidden[layer - 1], layers.hidden_bias[layer - 1], before, sums);
    }
    LUTRA_UNROLL
    for (int i = 0; i < kUnits; ++i) {
      const Vector modulated = multiply_add(sums[i], pixels.scale[layer][i], pixels.shift[layer][i]);
      made.values[layer % kKept][i] = rectified(modulated);
    }
  }
}

// ---- Forward -------------------------------------------------------------------------------------------------------

template <int kKept>
LUTRA_LOOP void read_way(const PredictJob& job, std::size_t slot, std::size_t at, int count, Activations<kKept>& made) {
  made.down = load_some(job.rows + slot / job.col_slots * job.pixels + at, count);
  made.right = load_some(job.cols + slot % job.col_slots * job.pixels + at, count);
}

inline void forward(const PredictJob& job, float* out, std::size_t first, std::size_t last) {
  const PredictLayers<float>& layers = *job.layers;
  const std::size_t slots = job.row_slots * job.col_slots;
  PixelValues pixels;
  Activations<1> made;
  for (std::size_t at = first; at < last; at += kLanes) {
    const int count = last - at < kLanes ? int(last - at) : kLanes;
    read_pixels(job, at, count, pixels);
    for (std::size_t slot = 0; slot < slots; ++slot) {
      read_way(job, slot, at, count, made);
      pass(layers, pixels, made);
      for (int c = 0; c < kColours; ++c) {
        Vector sum = everywhere(layers.last_bias[c]);
        LUTRA_UNROLL
        for (int i = 0; i < kUnits; ++i) sum = multiply_add(everywhere(layers.last[c][i]), made.values[0][i], sum);
        store_some(out + (c * slots + slot) * job.pixels + at, sum, count);
      }
    }
  }
}

// ---- Backward ------------------------------------------------------------------------------------------------------

// Some samples of each pixel on their way back.
struct Samples {
  int count;
  Activations<kHidden> made[kAtOnce];
  Vector above[kAtOnce][kColours];
  Vector by[kAtOnce][kUnits];  // gradient by the values of a layer, then by its sums

  LUTRA_LOOP void leave_last(const PredictLayers<float>& layers, PredictLayers<Vector>& sums) {
    for (int s = 0; s < count; ++s) {
      for (int c = 0; c < kColours; ++c) sums.last_bias[c] += above[s][c];
      for (int i = 0; i < kUnits; ++i) {
        const Vector& value = made[s].values[kHidden - 1][i];
        by[s][i] = Vector{};
        for (int c = 0; c < kColours; ++c) {
          sums.last[c][i] = multiply_add(above[s][c], value, sums.last[c][i]);
          by[s][i] = multiply_add(everywhere(layers.last[c][i]), above[s][c], by[s][i]);
        }
      }
    }
  }

  // From a layer's values to its sums.
  LUTRA_LOOP void leave_modulation(int layer, const PixelValues& pixels, PixelValues& by_pixels) {
    for (int i = 0; i < kUnits; ++i) {
      Vector by_scale = by_pixels.scale[layer][i], by_shift = by_pixels.shift[layer][i];
      for (int s = 0; s < count; ++s) {
        const Vector kept = made[s].values[layer][i] <= 0.0f ? Vector{} : by[s][i];
        by_scale = multiply_add(kept, made[s].sums[layer][i], by_scale);
        by_shift += kept;
        by[s][i] = kept * pixels.scale[layer][i];
      }
      by_pixels.scale[layer][i] = by_scale, by_pixels.shift[layer][i] = by_shift;
    }
  }

  // From a layer's sums to the values of the one before.
  __attribute__((noinline)) void leave_product(int layer, const PredictLayers<float>& layers, PredictLayers<Vector>& sums) {
    for (int i = 0; i < kUnits; ++i) {
      for (int s = 0; s < count; ++s) sums.hidden_bias[layer - 1][i] += by[s][i];
      for (int tile = 0; tile < kUnits; tile += kTile) {
        Vector* const to = sums.hidden[layer - 1][i] + tile;
        Vector own[kTile];
        LUTRA_UNROLL
        for (int j = 0; j < kTile; ++j) own[j] = to[j];
        for (int s = 0; s < count; ++s) {
          const Vector* values = made[s].values[layer - 1] + tile;
          LUTRA_UNROLL
          for (int j = 0; j < kTile; ++j) own[j] = multiply_add(by[s][i], values[j], own[j]);
        }
        LUTRA_UNROLL
        for (int j = 0; j < kTile; ++j) to[j] = own[j];
      }
    }
    for (int s = 0; s < count; ++s) {
      Vector before[kUnits];
      multiply<true>(layers.hidden[layer - 1], nullptr, by[s], before);
      std::memcpy(by[s], before, sizeof before);
    }
  }

  LUTRA_LOOP void leave_first(PixelValues& by_pixels, PredictLayers<Vector>& sums) {
    for (int s = 0; s < count; ++s) {
      for (int i = 0; i < kUnits; ++i) {
        by_pixels.here[i] += by[s][i];
        sums.way[i][0] = multiply_add(by[s][i], made[s].down, sums.way[i][0]);
        sums.way[i][1] = multiply_add(by[s][i], made[s].right, sums.way[i][1]);
      }
    }
  }

  LUTRA_LOOP void go_back(const PredictLayers<float>& layers, const PixelValues& pixels, PixelValues& by_pixels,
                          PredictLayers<Vector>& sums) {
    for (int s = 0; s < count; ++s) pass(layers, pixels, made[s]);
    leave_last(layers, sums);
    for (int layer = kHidden - 1; layer > 0; --layer) {
      leave_modulation(layer, pixels, by_pixels);
      leave_product(layer, layers, sums);
    }
    leave_modulation(0, pixels, by_pixels);
    leave_first(by_pixels, sums);
    count = 0;
  }
};

// False where the gradient by this sample of every pixel is 0: no output sample lies there.
LUTRA_LOOP bool read_above(const float* above, std::size_t plane, int count, Vector (&to)[kColours]) {
  bool any = false;
  for (int c = 0; c < kColours; ++c) {
    const float* from = above + c * plane;
    for (int lane = 0; lane < count; ++lane) any |= from[lane] != 0.0f;
    to[c] = load_some(from, count);
  }
  return any;
}

inline void backward(const PredictJob& job, const PredictSlopes& slopes, std::size_t first, std::size_t last,
                     PredictLayers<float>& total) {
  const std::size_t slots = job.row_slots * job.col_slots, plane = slots * job.pixels;
  PixelValues pixels, by_pixels;
  Samples samples;
  PredictLayers<Vector> sums;
  std::memset(&sums, 0, sizeof sums);
  samples.count = 0;
  for (std::size_t at = first; at < last; at += kLanes) {
    const int count = last - at < kLanes ? int(last - at) : kLanes;
    read_pixels(job, at, count, pixels);
    std::memset(&by_pixels, 0, sizeof by_pixels);
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const float* above = slopes.above + slot * job.pixels + at;
      if (!read_above(above, plane, count, samples.above[samples.count])) continue;
      read_way(job, slot, at, count, samples.made[samples.count]);
      if (++samples.count == kAtOnce) samples.go_back(*job.layers, pixels, by_pixels, sums);
    }
    if (samples.count) samples.go_back(*job.layers, pixels, by_pixels, sums);
    write_slopes(job, slopes, at, count, by_pixels);
  }
  const Vector* from = reinterpret_cast<const Vector*>(&sums);
  float* to = reinterpret_cast<float*>(&total);
  for (int i = 0; i < kPredictLayers; ++i) {
    to[i] = 0.0f;
    for (int lane = 0; lane < kLanes; ++lane) to[i] += from[i][lane];
  }
}

constexpr PredictLoops kLoops{forward, backward};

}  // namespace
}  // namespace lutra
