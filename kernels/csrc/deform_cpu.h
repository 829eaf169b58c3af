// The modulated deformable 3x3 convolution on the processor, but for its matrix products: what each tap of each pixel
// reads (its columns), and the way back from the gradient by the columns.
//
// Pictures have their channels last. Pixels are counted through the pictures of a batch, row by row; a job is a run of
// them. Results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bfloat16.h"

namespace lutra {

enum class DeformPath { portable, avx2, avx512 };

template <typename T>
struct DeformJob {
  const T* x;           // (samples, height, width, channels)
  const float* offset;  // (samples, 18, height, width)
  const float* mask;    // (samples, 9, height, width)
  const T* zeros;       // as many as channels
  int height, width, channels;
  std::size_t first, last;  // pixels

  std::size_t plane() const { return std::size_t(height) * width; }
};

// What is made of the gradient by the columns; each may be null: not wanted.
template <typename T>
struct DeformGradients {
  const T* by_columns;  // (last - first, 9, channels)
  T* columns;           // the same: the columns themselves, read once more
  float* by_offset;     // as the offset
  float* by_mask;       // as the mask
};

// columns (last - first, 9, channels): readings times mask.
template <typename T>
void deform_columns(const DeformJob<T>& job, T* columns, int threads, DeformPath path);

// The whole convolution, out (samples, height, width, outputs) for taps (9, channels, outputs), where `has_product`:
// every thread reads and multiplies its own pixels, a few at a time.
void deform_convolve(const DeformJob<float>& job, const float* taps, float* out, int outputs, int threads,
                     DeformPath path);

template <typename T>
void deform_gradients(const DeformJob<T>& job, const DeformGradients<T>& wanted, int threads, DeformPath path);

// Adds to by_x, as x but in float32, what by_columns (last - first, 9, channels) sends back to the pixels it came from.
template <typename T>
void deform_scatter(const DeformJob<T>& job, const T* by_columns, float* by_x, int threads, DeformPath path);

// One instruction set's loops over a run of pixels, the last also over some of the channels.
template <typename T>
struct DeformLoops {
  void (*columns)(const DeformJob<T>&, std::size_t first, std::size_t last, T* columns);
  void (*gradients)(const DeformJob<T>&, std::size_t first, std::size_t last, const DeformGradients<T>&);
  void (*scatter)(const DeformJob<T>&, int first_channel, int last_channel, const T* by_columns, float* by_x);
};

extern const DeformLoops<float> kDeformPortable;
extern const DeformLoops<Bfloat16> kDeformPortableBf16;
extern const DeformLoops<float> kDeformAvx2;
extern const DeformLoops<Bfloat16> kDeformAvx2Bf16;
extern const DeformLoops<float> kDeformAvx512;
extern const DeformLoops<Bfloat16> kDeformAvx512Bf16;

}  // namespace lutra
