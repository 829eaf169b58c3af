// The look-up for training, on the processor: floats in, floats out, and its gradients.
//
// Pictures are (samples, 3, pixels), tables (1 or samples, 3, nodes, nodes, nodes), all of them contiguous. Results do
// not depend on the number of threads, and a batch gives bit by bit what its pictures give one by one.
#pragma once

#include <cstddef>

namespace lutra {

struct FloatExtent {
  std::size_t samples, pixels;
  bool shared;  // one table for all samples
  int nodes;

  std::size_t volume() const { return std::size_t(nodes) * nodes * nodes; }
  std::size_t table(std::size_t sample) const { return shared ? 0 : 3 * volume() * sample; }
};

template <typename T>
void lut3d_forward(const FloatExtent& extent, const T* picture, const T* lut, T* out, int threads);

// Gradients by picture and by table, of which either may be null: not wanted.
template <typename T>
void lut3d_backward(const FloatExtent& extent, const T* grad, const T* picture, const T* lut, T* grad_picture,
                    T* grad_lut, int threads);

}  // namespace lutra
