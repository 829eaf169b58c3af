// The modulated deformable 3x3 convolution on the processor: what each tap of each pixel reads (its columns), the way back
// from the gradient by the columns, and, where the processor has what they need, the products in between.
//
// Pictures have their channels last. Pixels are counted through the pictures of a batch, row by row; a job is a run of
// them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shared/bfloat16.h"

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
  const float* by_columns;  // (last - first, 9, channels)
  T* columns;               // the same: the columns themselves, read once more
  float* by_offset;         // as the offset
  float* by_mask;           // as the mask
};

// columns (last - first, 9, channels): readings times mask.
template <typename T>
void deform_columns(const DeformJob<T>& job, T* columns, int threads, DeformPath path);

template <typename T>
void deform_gradients(const DeformJob<T>& job, const DeformGradients<T>& wanted, int threads, DeformPath path);

// Adds to by_x, as x but in float32, what by_columns (last - first, 9, channels) sends back to the pixels it came from.
template <typename T>
void deform_scatter(const DeformJob<T>& job, const float* by_columns, float* by_x, int threads, DeformPath path);

// ---- With the products ---------------------------------------------------------------------------------------------

// Whether `deform_convolve` and `deform_differentiate` can be called.
template <typename T>
bool has_deform_products(int channels, int outputs);
template <>
bool has_deform_products<float>(int channels, int outputs);
template <>
bool has_deform_products<Bfloat16>(int channels, int outputs);

// The whole convolution: taps (9, channels, outputs), out (samples, height, width, outputs).
template <typename T>
void deform_convolve(const DeformJob<T>& job, const T* taps, T* out, int outputs, int threads, DeformPath path);

// Its gradients, of those that are not null: grad (samples, height, width, outputs), taps (outputs, 9, channels); by_x
// and by_taps begin as zeros. A run with as many threads gives the same bits.
struct DeformWanted {
  float *by_x, *by_offset, *by_mask, *by_taps;  // as x, offset, mask and taps
};
template <typename T>
void deform_differentiate(const DeformJob<T>& job, const T* grad, const T* taps, int outputs,
                          const DeformWanted& wanted, int threads, DeformPath path);

// ---- Loops ---------------------------------------------------------------------------------------------------------

// One instruction set's loops over a run of pixels, the last also over some of the channels.
template <typename T>
struct DeformLoops {
  void (*columns)(const DeformJob<T>&, std::size_t first, std::size_t last, T* columns);
  void (*gradients)(const DeformJob<T>&, std::size_t first, std::size_t last, const DeformGradients<T>&);
  void (*scatter)(const DeformJob<T>&, int first_channel, int last_channel, const float* by_columns,
                  float* by_x);
};

extern const DeformLoops<float> kDeformPortable;
extern const DeformLoops<Bfloat16> kDeformPortableBf16;
extern const DeformLoops<float> kDeformAvx2;
extern const DeformLoops<Bfloat16> kDeformAvx2Bf16;
extern const DeformLoops<float> kDeformAvx512;
extern const DeformLoops<Bfloat16> kDeformAvx512Bf16;

}  // namespace lutra
