// Table super-resolution (EC-LUT) on a CUDA device: 8 bits, three channels interleaved, scales 2, 3 and 4.
//
// A thread owns one channel of the block of large pixels that belong to one small pixel, gathers what meets there
// (eclut_gather.h), divides once and writes; no atomics.
#include "eclut/eclut_gather.h"

using namespace lutra;

namespace {

constexpr int kThreads = 128;
// Blocks a multiprocessor, the most that leave each thread registers for its sums and for the loads in flight.
constexpr int kPartBlocks = 4;
constexpr int kSquareBlocks = 3;
constexpr int kChannels = 3;

__device__ Window read_window(const unsigned char* picture, int height, int width, int y, int x, int channel) {
  Window window;
#pragma unroll
  for (int i = 0; i < kWindow; ++i) {
    const long long row = (long long)eclut_reflect(y + i - kEclutReach, height) * width;
#pragma unroll
    for (int j = 0; j < kWindow; ++j) {
      const bool corner = i % (kWindow - 1) == 0 && j % (kWindow - 1) == 0;
      window.code[i][j] = corner ? 0 : picture[(row + eclut_reflect(x + j - kEclutReach, width)) * kChannels + channel];
    }
  }
  return window;
}

template <int scale>
__device__ void write_block(unsigned char* out, int width, int y, int x, int channel, const int (&sum)[scale * scale]) {
  const long long pitch = (long long)width * scale * kChannels;
  unsigned char* to = out + pitch * y * scale + x * scale * kChannels + channel;
#pragma unroll
  for (int i = 0; i < scale * scale; ++i) to[i / scale * pitch + i % scale * kChannels] = (unsigned char)eclut_code(sum[i]);
}

// `Add` adds all four directions. Blocks on x cover a row of small pixels and channels, blocks on y its rows in turn.
template <int scale, typename Add>
__device__ void enlarge(const unsigned char* picture, unsigned char* out, int height, int width, Add add) {
  const int i = int(blockIdx.x) * kThreads + int(threadIdx.x), x = i / kChannels, channel = i % kChannels;
  if (x >= width) return;
  for (int y = int(blockIdx.y); y < height; y += int(gridDim.y)) {
    const Window window = read_window(picture, height, width, y, x, channel);
    int sum[scale * scale];
    add(window, sum);
    write_block<scale>(out, width, y, x, channel, sum);
  }
}

template <int scale>
__device__ void enlarge_by_blocks(const unsigned char* picture, const signed char* table, unsigned char* out, int height,
                                  int width) {
  enlarge<scale>(picture, out, height, width, [=](const Window& window, int (&sum)[scale * scale]) {
    const int codes = 2 * nine_codes(window);
#pragma unroll
    for (int i = 0; i < scale * scale; ++i) sum[i] = codes;
    add_blocks<scale, 0>(window, table, sum);
    add_blocks<scale, 1>(window, table, sum);
    add_blocks<scale, 2>(window, table, sum);
    add_blocks<scale, 3>(window, table, sum);
  });
}

template <int scale>
__device__ void enlarge_by_squares(const unsigned char* picture, const short* table, unsigned char* out, int height,
                                   int width) {
  enlarge<scale>(picture, out, height, width, [=](const Window& window, int (&sum)[scale * scale]) {
#pragma unroll
    for (int i = 0; i < scale * scale; ++i) sum[i] = 2 * covering_codes<scale>(window, i);
    add_squares<scale, 0>(window, table, sum);
    add_squares<scale, 1>(window, table, sum);
    add_squares<scale, 2>(window, table, sum);
    add_squares<scale, 3>(window, table, sum);
  });
}

}  // namespace

#define LUTRA_KERNELS(scale, part_bounds)                                                                        \
  extern "C" __global__ void part_bounds                                                                         \
      eclut_lr_##scale(const unsigned char* __restrict__ picture, const signed char* __restrict__ table,         \
                       unsigned char* __restrict__ out, int height, int width) {                                 \
    enlarge_by_blocks<scale>(picture, table, out, height, width);                                                \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(kThreads, kSquareBlocks)                                          \
      eclut_hr_##scale(const unsigned char* __restrict__ picture, const short* __restrict__ table,               \
                       unsigned char* __restrict__ out, int height, int width) {                                 \
    enlarge_by_squares<scale>(picture, table, out, height, width);                                               \
  }

LUTRA_KERNELS(2, __launch_bounds__(kThreads, kPartBlocks))
LUTRA_KERNELS(3, __launch_bounds__(kThreads))  // nine single bytes a part: the compiler's own choice spills least
LUTRA_KERNELS(4, __launch_bounds__(kThreads, kPartBlocks))
