// The modulated deformable 3x3 convolution on a CUDA device, but for its matrix products, in float32, float64, bfloat16.
//
// Pictures have their channels last. Pixels are counted through the pictures of a batch, row by row; a launch takes a run
// of them. Thirty-two threads take one tap of one pixel and share out its channels, which lie side by side. Atomic
// additions lose nothing, but their order, and with it the last bits of the gradient by the picture, is the card's.
// Places and sums are float32, for float64 pictures float64. deform_place.h says where a tap reads.
#include "shared/bfloat16.h"
#include "deform/deform_place.h"

using namespace lutra;

namespace {

constexpr int kLanes = 32;
constexpr int kPlaces = 8;  // in a block
constexpr int kThreads = kLanes * kPlaces;

__device__ float value_of(float stored) { return stored; }
__device__ double value_of(double stored) { return stored; }
__device__ float value_of(Bfloat16 stored) { return widen(stored); }
__device__ void keep(float* to, float value) { *to = value; }
__device__ void keep(double* to, double value) { *to = value; }
__device__ void keep(Bfloat16* to, float value) { *to = narrow(value); }

__device__ long long place_index() { return (long long)blockIdx.x * kPlaces + threadIdx.x / kLanes; }

// One tap of one pixel: where it reads, and where it stands in offset and mask.
template <typename S>
struct Tap {
  Cell<S> cell;
  long long pixel;  // of the first corner, counted through the batch; may lie outside
  long long in_mask, in_offset;
  S strength;
};

template <typename S>
__device__ Tap<S> find_tap(const S* offset, const S* mask, long long place, int height, int width) {
  const long long plane = (long long)height * width, pixel = place / kTaps;
  const int tap = int(place % kTaps);
  const long long sample = pixel / plane, within = pixel % plane;
  const int row = int(within / width), column = int(within % width);
  Tap<S> result;
  result.in_mask = (sample * kTaps + tap) * plane + within;
  result.in_offset = (sample * 2 * kTaps + 2 * tap) * plane + within;
  const S y = S(row + tap_row(tap)) + offset[result.in_offset];
  const S x = S(column + tap_column(tap)) + offset[result.in_offset + plane];
  result.cell = find_cell(y, x, height, width);
  result.pixel = sample * plane + (long long)result.cell.row * width + result.cell.column;
  result.strength = mask[result.in_mask];
  return result;
}

template <typename S>
__device__ long long corner_pixel(const Tap<S>& tap, int corner, int width) {
  return tap.pixel + (corner & 2 ? width : 0) + (corner & 1);
}

// The value of one channel at a corner: zero outside.
template <typename T, typename S>
__device__ S corner_value(const T* x, const Tap<S>& tap, int corner, int width, int channels, int channel) {
  return tap.cell.inside[corner] ? value_of(x[corner_pixel(tap, corner, width) * channels + channel]) : S(0);
}

// `place` counts taps of pixels from the first of the batch, `first` is that of the launch.
template <typename T, typename S>
__device__ void columns_of(const T* x, const S* offset, const S* mask, T* columns, int height, int width, int channels,
                           long long first, long long places) {
  const long long at = place_index();
  if (at >= places) return;
  const Tap<S> tap = find_tap(offset, mask, first * kTaps + at, height, width);
  for (int c = int(threadIdx.x) % kLanes; c < channels; c += kLanes) {
    S sum = S(0);
#pragma unroll
    for (int k = 0; k < kCellCorners; ++k)
      sum += cell_weight(k, tap.cell) * corner_value(x, tap, k, width, channels, c);
    keep(columns + at * channels + c, tap.strength * sum);
  }
}

// Each of by_offset and by_mask may be null: not wanted.
template <typename T, typename S>
__device__ void gradients_of(const T* x, const S* offset, const S* mask, const S* by_columns, S* by_offset, S* by_mask,
                             int height, int width, int channels, long long first, long long places) {
  __shared__ S sums[kPlaces][kCellCorners][kLanes + 1];
  const int lane = int(threadIdx.x) % kLanes, own = int(threadIdx.x) / kLanes;
  const long long at = place_index();
  const bool taken = at < places;
  const Tap<S> tap = find_tap(offset, mask, first * kTaps + (taken ? at : 0), height, width);
  S mine[kCellCorners] = {S(0), S(0), S(0), S(0)};
  for (int c = lane; c < channels && taken; c += kLanes) {
    const S g = by_columns[at * channels + c];
#pragma unroll
    for (int k = 0; k < kCellCorners; ++k) mine[k] += g * corner_value(x, tap, k, width, channels, c);
  }
#pragma unroll
  for (int k = 0; k < kCellCorners; ++k) sums[own][k][lane] = mine[k];
  __syncthreads();
  if (lane < kCellCorners) {
    S whole = S(0);
    for (int i = 0; i < kLanes; ++i) whole += sums[own][lane][i];
    sums[own][lane][kLanes] = whole;
  }
  __syncthreads();
  if (lane != 0 || !taken) return;
  S by[kCellCorners];
#pragma unroll
  for (int k = 0; k < kCellCorners; ++k) by[k] = sums[own][k][kLanes];
  if (by_mask) {
    S sum = S(0);
#pragma unroll
    for (int k = 0; k < kCellCorners; ++k) sum += cell_weight(k, tap.cell) * by[k];
    by_mask[tap.in_mask] = sum;
  }
  if (by_offset) {
    by_offset[tap.in_offset] = tap.strength * blend(by[2] - by[0], by[3] - by[1], tap.cell.right);
    by_offset[tap.in_offset + (long long)height * width] =
        tap.strength * blend(by[1] - by[0], by[3] - by[2], tap.cell.down);
  }
}

// `by_x` begins as zeros.
template <typename S>
__device__ void scatter_of(const S* offset, const S* mask, const S* by_columns, S* by_x, int height, int width,
                           int channels, long long first, long long places) {
  const long long at = place_index();
  if (at >= places) return;
  const Tap<S> tap = find_tap(offset, mask, first * kTaps + at, height, width);
  for (int c = int(threadIdx.x) % kLanes; c < channels; c += kLanes) {
    const S g = tap.strength * by_columns[at * channels + c];
#pragma unroll
    for (int k = 0; k < kCellCorners; ++k) {
      if (!tap.cell.inside[k]) continue;
      atomicAdd(by_x + corner_pixel(tap, k, width) * channels + c, cell_weight(k, tap.cell) * g);
    }
  }
}

}  // namespace

#define LUTRA_KERNELS(T, S, name)                                                                                     \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                              \
      deform_columns_##name(const T* x, const S* offset, const S* mask, T* columns, int height, int width,            \
                            int channels, long long first, long long places) {                                        \
    columns_of(x, offset, mask, columns, height, width, channels, first, places);                                     \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                              \
      deform_gradients_##name(const T* x, const S* offset, const S* mask, const S* by_columns, S* by_offset,          \
                              S* by_mask, int height, int width, int channels, long long first, long long places) {   \
    gradients_of(x, offset, mask, by_columns, by_offset, by_mask, height, width, channels, first, places);            \
  }

#define LUTRA_SCATTER(S, name)                                                                                        \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                              \
      deform_scatter_##name(const S* offset, const S* mask, const S* by_columns, S* by_x, int height, int width,      \
                            int channels, long long first, long long places) {                                        \
    scatter_of(offset, mask, by_columns, by_x, height, width, channels, first, places);                               \
  }

LUTRA_KERNELS(float, float, f32)
LUTRA_KERNELS(double, double, f64)
LUTRA_KERNELS(Bfloat16, float, bf16)
LUTRA_SCATTER(float, f32)
LUTRA_SCATTER(double, f64)
