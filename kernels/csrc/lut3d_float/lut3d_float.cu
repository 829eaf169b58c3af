// The look-up of float pictures (N, 3, H, W) and its gradients on a CUDA device, in float32 and float64.
//
// A table is (3, D, D, D), shared by the batch (lut_stride 0) or one a picture. A thread takes a pixel; for the gradient
// of the table it takes a run of neighbouring pixels, which in a photo often share a cell, and adds to memory once a
// cell and not once a pixel. Atomic additions lose nothing, but their order, and with it the last bits, is the card's.
// The arithmetic of a pixel stands in lut3d_gradient.h.
#include "lut3d_float/lut3d_gradient.h"

using namespace lutra;

namespace {

constexpr int kThreads = 256;
constexpr int kRun = 8;
constexpr int kCorners = 8;

__device__ long long thread_index() { return (long long)blockIdx.x * kThreads + threadIdx.x; }

// Blocks on y are pictures; a batch larger than the grid goes round.
template <typename T>
__device__ void forward(const T* picture, const T* lut, T* out, int batch, long long pixels, int nodes,
                        long long lut_stride) {
  const long long p = thread_index();
  if (p >= pixels) return;
  const int volume = nodes * nodes * nodes;
  for (int n = int(blockIdx.y); n < batch; n += int(gridDim.y)) {
    const T* from = picture + 3 * pixels * n + p;
    T* to = out + 3 * pixels * n + p;
    const T* table = lut + lut_stride * n;
    const Spot<T> spot = find_spot(from[0], from[pixels], from[2 * pixels], nodes);
    for (int c = 0; c < 3; ++c) to[pixels * c] = sample(table + c * volume, nodes, spot);
  }
}

template <typename T>
__device__ void backward_picture(const T* grad, const T* picture, const T* lut, T* out, int batch, long long pixels,
                                 int nodes, long long lut_stride) {
  const long long p = thread_index();
  if (p >= pixels) return;
  const int volume = nodes * nodes * nodes;
  for (int n = int(blockIdx.y); n < batch; n += int(gridDim.y)) {
    const long long at = 3 * pixels * n + p;
    const T red = picture[at], green = picture[at + pixels], blue = picture[at + 2 * pixels];
    const T* table = lut + lut_stride * n;
    const Spot<T> spot = find_spot(red, green, blue, nodes);
    T sum[3] = {T(0), T(0), T(0)};
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const Slopes<T> along = channel_slopes(table + c * volume, nodes, spot);
      const T weight = grad[at + pixels * c];
      sum[0] += weight * along.red;
      sum[1] += weight * along.green;
      sum[2] += weight * along.blue;
    }
    out[at] = sum[0] * place_slope(red, nodes);
    out[at + pixels] = sum[1] * place_slope(green, nodes);
    out[at + 2 * pixels] = sum[2] * place_slope(blue, nodes);
  }
}

// Adds what a run gathered in the cell at `index` to the gradient of the table, and begins anew.
template <typename T>
__device__ void flush(T* table, int index, int nodes, T (&gathered)[3][kCorners]) {
  const int volume = nodes * nodes * nodes;
#pragma unroll
  for (int c = 0; c < 3; ++c)
#pragma unroll
    for (int corner = 0; corner < kCorners; ++corner) {
      atomicAdd(table + c * volume + index + corner_offset(corner, nodes), gathered[c][corner]);
      gathered[c][corner] = T(0);
    }
}

// `out` begins as zeros.
template <typename T>
__device__ void backward_lut(const T* grad, const T* picture, T* out, int batch, long long pixels, int nodes,
                             long long lut_stride) {
  const long long start = thread_index() * kRun;
  if (start >= pixels) return;
  const long long end = start + kRun < pixels ? start + kRun : pixels;
  for (int n = int(blockIdx.y); n < batch; n += int(gridDim.y)) {
    T* table = out + lut_stride * n;
    T gathered[3][kCorners] = {};
    int open = -1;  // the cell whose gradient is being gathered
    for (long long at = 3 * pixels * n + start; at < 3 * pixels * n + end; ++at) {
      const Spot<T> spot = find_spot(picture[at], picture[at + pixels], picture[at + 2 * pixels], nodes);
      if (open >= 0 && open != spot.index) flush(table, open, nodes, gathered);
      open = spot.index;
      T weights[kCorners];
      trilinear_weights(spot.red, spot.green, spot.blue, weights);
#pragma unroll
      for (int corner = 0; corner < kCorners; ++corner)
#pragma unroll
        for (int c = 0; c < 3; ++c) gathered[c][corner] += weights[corner] * grad[at + pixels * c];
    }
    flush(table, open, nodes, gathered);
  }
}

}  // namespace

#define LUTRA_KERNELS(T, name)                                                                                       \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                             \
      lut3d_forward_##name(const T* picture, const T* lut, T* out, int batch, long long pixels, int nodes,           \
                           long long lut_stride) {                                                                   \
    forward(picture, lut, out, batch, pixels, nodes, lut_stride);                                                    \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                             \
      lut3d_backward_picture_##name(const T* grad, const T* picture, const T* lut, T* out, int batch,                \
                                    long long pixels, int nodes, long long lut_stride) {                             \
    backward_picture(grad, picture, lut, out, batch, pixels, nodes, lut_stride);                                     \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                             \
      lut3d_backward_lut_##name(const T* grad, const T* picture, T* out, int batch, long long pixels, int nodes,     \
                                long long lut_stride) {                                                              \
    backward_lut(grad, picture, out, batch, pixels, nodes, lut_stride);                                              \
  }

LUTRA_KERNELS(float, f32)
LUTRA_KERNELS(double, f64)
