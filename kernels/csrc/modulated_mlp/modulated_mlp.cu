// LM-LIIF's render perceptron on a CUDA device.
//
// A thread owns one sample: the hidden layers of its four neighbours run in turn, their last ones are blended, and the
// last layer, which is linear, follows once. The weights lie in shared memory, where all threads read the same four at a
// time.
#include "shared/bfloat16.h"
#include "modulated_mlp/modulated_mlp.h"

using namespace lutra;

namespace {

constexpr int kThreads = 128;
constexpr int kBlocks = 3;  // a multiprocessor, the most that leave each thread registers for its layers

__device__ void load_four(const float* from, float (&to)[4]) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}

__device__ void load_four(const Bfloat16* from, float (&to)[4]) {
  const ushort4 four = *reinterpret_cast<const ushort4*>(from);
  to[0] = widen({four.x}), to[1] = widen({four.y}), to[2] = widen({four.z}), to[3] = widen({four.w});
}

template <typename T>
__device__ void load(const T* from, float (&to)[kUnits]) {
#pragma unroll
  for (int i = 0; i < kUnits; i += 4) {
    float four[4];
    load_four(from + i, four);
#pragma unroll
    for (int k = 0; k < 4; ++k) to[i + k] = four[k];
  }
}

// No read from memory moves over this: a compiler that read the weights of a layer ahead, or kept them from one neighbour
// to the next, would have no registers left.
__device__ void keep_order() { asm volatile("" ::: "memory"); }

__device__ void add_column(const float* column, float value, float (&sum)[kUnits]) {
#pragma unroll
  for (int i = 0; i < kUnits; i += 4) {
    float four[4];
    load_four(column + i, four);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum[i + k] += four[k] * value;
  }
}

__device__ void add_columns(const float (*columns)[kUnits], const float (&v)[kUnits], float (&sum)[kUnits]) {
#pragma unroll
  for (int i = 0; i < kUnits; ++i) {
    if (i % 4 == 0) keep_order();
    add_column(columns[i], v[i], sum);
  }
}

// Scaled and shifted by the modulations of a pixel, then 0 where negative; NaN stays NaN.
template <typename T>
__device__ void modulate(const T* modulations, int layer, const float (&sum)[kUnits], float (&v)[kUnits]) {
#pragma unroll
  for (int i = 0; i < kUnits; i += 4) {
    float scale[4], shift[4];
    load_four(modulations + layer * kUnits + i, scale);
    load_four(modulations + kShifts + layer * kUnits + i, shift);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float modulated = sum[i + k] * (1.0f + scale[k]) + shift[k];
      v[i + k] = modulated < 0.0f ? 0.0f : modulated;
    }
  }
}

// The last hidden layer of a neighbour.
template <typename T>
__device__ void last_hidden_layer(const MlpWeights& weights, const T* modulations, float down, float right,
                                  float (&v)[kUnits]) {
  float sum[kUnits];
  load(modulations + kLatent, v);
  load(weights.bias[0], sum);
  add_columns(weights.first, v, sum);
  add_column(weights.first[kUnits], down, sum);
  add_column(weights.first[kUnits + 1], right, sum);
  modulate(modulations, 0, sum, v);
#pragma unroll 1
  for (int layer = 1; layer < kHidden; ++layer) {
    load(weights.bias[layer], sum);
    add_columns(weights.hidden[layer - 1], v, sum);
    modulate(modulations, layer, sum, v);
  }
}

struct Sample {
  float colour[4];
};

template <typename T>
__device__ Sample render(const MlpWeights& weights, const T* modulations, int width, const Neighbours& row,
                         const Neighbours& col) {
  Sample sample;
  load_four(weights.last_bias, sample.colour);
  float blended[kUnits] = {};
#pragma unroll 1
  for (int corner = 0; corner < kNeighbours; ++corner) {
    const bool below = corner & 2, beside = corner & 1;
    const long long at = (long long)(below ? row.pixel[1] : row.pixel[0]) * width + (beside ? col.pixel[1] : col.pixel[0]);
    const float share = (below ? row.share[1] : row.share[0]) * (beside ? col.share[1] : col.share[0]);
    float v[kUnits];
    last_hidden_layer(weights, modulations + at * kModulations, below ? row.way[1] : row.way[0],
                      beside ? col.way[1] : col.way[0], v);
#pragma unroll
    for (int i = 0; i < kUnits; ++i) blended[i] += share * v[i];
  }
#pragma unroll
  for (int i = 0; i < kUnits; ++i) {
    float column[4];
    load_four(weights.last[i], column);
#pragma unroll
    for (int c = 0; c < kColours; ++c) sample.colour[c] += column[c] * blended[i];
  }
  return sample;
}

// Blocks on x cover a row of samples, blocks on y its rows in turn.
template <typename T>
__device__ void render_rows(const T* modulations, int height, int width, const float* base,
                            const long long* row_floor, const float* row_part, const long long* col_floor, const float* col_part, int rows, int cols,
                            const float* packed, float* out) {
  __shared__ MlpWeights weights;
  for (int i = int(threadIdx.x); i < kMlpWeights; i += kThreads) reinterpret_cast<float*>(&weights)[i] = packed[i];
  __syncthreads();
  const int x = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (x >= cols) return;
  const Neighbours col = neighbours(col_floor[x], col_part[x], width);
  for (int y = int(blockIdx.y); y < rows; y += int(gridDim.y)) {
    const Neighbours row = neighbours(row_floor[y], row_part[y], height);
    const Sample sample = render(weights, modulations, width, row, col);
#pragma unroll
    for (int c = 0; c < kColours; ++c) {
      const long long at = ((long long)c * rows + y) * cols + x;
      out[at] = base[at] + sample.colour[c];
    }
  }
}

}  // namespace

#define LUTRA_KERNEL(of, T)                                                                                            \
  extern "C" __global__ void __launch_bounds__(kThreads, kBlocks) modulated_mlp_##of(                                          \
      const T* __restrict__ modulations, int height, int width, const float* __restrict__ base,                       \
      const long long* __restrict__ row_floor, const float* __restrict__ row_part,                                    \
      const long long* __restrict__ col_floor, const float* __restrict__ col_part, int rows, int cols,                \
      const float* __restrict__ packed, float* __restrict__ out) {                                                    \
    render_rows(modulations, height, width, base, row_floor, row_part, col_floor, col_part, rows, cols, packed, out); \
  }

LUTRA_KERNEL(f32, float)
LUTRA_KERNEL(bf16, Bfloat16)
