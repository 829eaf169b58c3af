// The CUDA that our `.cu` files use, on a processor: the threads of a block take turns, or, without barriers, run apart.
//
// It lets a machine without a GPU run the kernels whole: indices, tails, shared memory, barriers, atomic additions. It
// says nothing about speed, alignment or the memory model of a device. Textures are filtered as the programming guide
// has it: places in 9 bits with 8 of fraction, the colours between in full precision.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __launch_bounds__(...)
#define __shared__ static  // one for all threads of a block; such blocks take turns

struct Index {
  unsigned x, y, z;
};
struct uint4 {
  unsigned x, y, z, w;
};
struct float4 {
  float x, y, z, w;
};
struct ushort4 {
  unsigned short x, y, z, w;
};

inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) {
  return {x, y, z, w};
}
using std::fmaxf;
using std::fminf;

inline thread_local Index threadIdx, blockIdx;
inline Index gridDim;

// A thread of a block with barriers: runs until it meets one, and goes on when all others have met theirs.
struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(64 * 1024);
  bool alive = false;
};
inline Fiber* running_fiber = nullptr;
inline ucontext_t between_fibers;
inline std::function<void()> fiber_body;

inline void __syncthreads() { swapcontext(&running_fiber->context, &between_fibers); }
inline void __syncwarp() { __syncthreads(); }

inline void begin_fiber() {
  fiber_body();
  running_fiber->alive = false;
}

template <typename T>
void atomicAdd(T* to, T value) {
  std::atomic_ref<T>(*to).fetch_add(value);
}

// A texture of 16-bit texels, (side, side, side), normalised and filtered linearly.
struct HostTexture {
  const ushort4* texels;
  std::int64_t side;
};
using cudaTextureObject_t = unsigned long long;

struct HostTexel {
  std::int64_t at;
  float part;
};

inline HostTexel texel_on_axis(float place) {
  const float from_middle = std::round((place - 0.5f) * 256.0f) / 256.0f;
  const float whole = std::floor(from_middle);
  return {std::int64_t(whole), from_middle - whole};
}

template <typename T>
T tex3D(cudaTextureObject_t handle, float x, float y, float z) {
  const HostTexture& texture = *reinterpret_cast<const HostTexture*>(handle);
  const HostTexel place[3] = {texel_on_axis(x), texel_on_axis(y), texel_on_axis(z)};
  float sum[3] = {0.0f, 0.0f, 0.0f};
  for (int corner = 0; corner < 8; ++corner) {
    float weight = 1.0f;
    std::int64_t at[3];
    for (int axis = 0; axis < 3; ++axis) {
      const int far = corner >> axis & 1;
      at[axis] = std::min(std::max<std::int64_t>(place[axis].at + far, 0), texture.side - 1);
      weight *= far ? place[axis].part : 1.0f - place[axis].part;
    }
    const ushort4 texel = texture.texels[(at[2] * texture.side + at[1]) * texture.side + at[0]];
    sum[0] += weight * float(texel.x) / 65535.0f;
    sum[1] += weight * float(texel.y) / 65535.0f;
    sum[2] += weight * float(texel.z) / 65535.0f;
  }
  return {sum[0], sum[1], sum[2], 0.0f};
}

// A kernel with barriers: the threads of a block advance in turn, each to its next barrier. What a missing barrier would
// leave to chance on a device goes wrong here every time: the first thread is there before the others.
template <typename Call>
void run_together(unsigned threads, Call call) {
  std::vector<Fiber> fibers(threads);
  fiber_body = call;
  for (unsigned block = 0; block < gridDim.x * gridDim.y; ++block) {
    blockIdx = {block % gridDim.x, block / gridDim.x, 0};
    for (Fiber& fiber : fibers) {
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.data();
      fiber.context.uc_stack.ss_size = fiber.stack.size();
      fiber.context.uc_link = &between_fibers;
      makecontext(&fiber.context, begin_fiber, 0);
      fiber.alive = true;
    }
    for (unsigned left = threads; left > 0;) {
      left = 0;
      for (unsigned thread = 0; thread < threads; ++thread) {
        if (!fibers[thread].alive) continue;
        threadIdx = {thread, 0, 0};
        running_fiber = &fibers[thread];
        swapcontext(&between_fibers, &running_fiber->context);
        left += running_fiber->alive;
      }
    }
  }
}

// A kernel without: blocks in four streams, the threads of a block one after the other.
template <typename Call>
void run_apart(unsigned threads, Call call) {
  constexpr unsigned kStreams = 4;
  std::vector<std::thread> running;
  for (unsigned stream = 0; stream < kStreams; ++stream)
    running.emplace_back([=] {
      for (unsigned block = stream; block < gridDim.x * gridDim.y; block += kStreams) {
        blockIdx = {block % gridDim.x, block / gridDim.x, 0};
        for (unsigned thread = 0; thread < threads; ++thread) {
          threadIdx = {thread, 0, 0};
          call();
        }
      }
    });
  for (std::thread& one : running) one.join();
}

// `values` points at the arguments, eight bytes each, as cuLaunchKernel takes them.
template <typename... Arguments>
auto call_of(void (*kernel)(Arguments...), void** values) {
  return [=] {
    [=]<std::size_t... i>(std::index_sequence<i...>) {
      kernel(*static_cast<Arguments*>(values[i])...);
    }(std::index_sequence_for<Arguments...>());
  };
}

#define RUN_ON_HOST(kernel, how)                                                                          \
  extern "C" void run_##kernel(unsigned grid_x, unsigned grid_y, unsigned threads, void** values) {       \
    gridDim = {grid_x, grid_y, 1};                                                                        \
    run_##how(threads, call_of(kernel, values));                                                          \
  }
