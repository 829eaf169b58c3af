// A NAF block under a code on the processor: norm, 1x1, depthwise 3x3, gate, 1x1, and norm, 1x1, gate, 1x1, in one walk.
#pragma once

#include <cstddef>

#include "shared/bfloat16.h"

namespace lutra {

enum class NafPath { portable, avx2, avx512, avx512bf16 };

// Layers as kernels/reference/naf_block.py has them, in that order; C channels.
template <typename T>
struct NafLayers {
  const T *norm1_gain, *norm1_offset, *conv1, *conv1_bias, *conv2, *conv2_bias, *conv3, *conv3_bias, *beta;
  const T *norm2_gain, *norm2_offset, *conv4, *conv4_bias, *conv5, *conv5_bias, *gamma;
};
constexpr int kNafLayers = 16;

struct NafSize {
  std::size_t count, height, width, channels;  // pictures, pixels down and right, a multiple of kNafLanes; none of them 0
};
constexpr std::size_t kNafLanes = 16;  // of the widest vectors

template <typename T>
struct NafCall {
  NafSize size;
  const T* x;               // (count, height, width, channels)
  const T *scale, *shift;   // (count, channels)
  NafLayers<T> layers;
  T* out;  // as x
};

// Writes call.out. A path that this processor lacks, or that is not for this type, gives way to the next slower one. The
// bits of a pixel depend on neither the threads nor what else is computed.
void naf_block(const NafCall<float>& call, int threads, NafPath path);
void naf_block(const NafCall<Bfloat16>& call, int threads, NafPath path);

// ---- What a set of instructions does -------------------------------------------------------------------------------

// The layers laid out for vectors of so many lanes: products in panels of two vectors, input by input. Outputs of a product
// that is gated stand in pairs, a vector of the first half of the channels and one of the second, and so do their biases;
// the last panel of another has one vector, where the channels leave no two. All but the weights of products is float32.
struct NafPacked {
  const void *conv1, *conv4;             // in pairs
  const void *conv3, *conv5;
  const float *conv1_bias, *conv4_bias;  // in pairs
  const float *taps, *taps_bias;         // conv2: pair by pair, nine vectors of the first half and nine of the second
  const float *norm1_gain, *norm1_offset, *norm2_gain, *norm2_offset;
  const float *conv3_bias, *beta, *conv5_bias, *gamma;
  const float *factor, *shift;           // (count, channels): 1 + scale
};

struct NafJob {
  NafSize size;
  const void* x;
  void* out;
  bool of_bfloat16;
  NafPacked packed;
};

struct NafLoops {
  std::size_t lanes;
  // Weights of products are bfloat16, two inputs of an output side by side; else float32.
  bool of_pairs;
  // Bytes that a thread needs, from a multiple of kNafAlignment on, which begin as zeros.
  std::size_t (*room)(const NafSize& size);
  // Writes rows `first` to `last` - 1, counted through the pictures.
  void (*band)(const NafJob& job, std::size_t first, std::size_t last, char* room);
};
constexpr std::size_t kNafAlignment = 64;  // bytes
extern const NafLoops kNafPortable, kNafAvx2, kNafAvx512, kNafAvx512Bf16;

}  // namespace lutra
