// Where a tap of the modulated deformable convolution reads, for the processor and for CUDA.
//
// A place (y, x) lies in the bilinear cell whose first corner is (floor y, floor x), from (-1, -1) to the last pixel; it
// is outside, and reads zero, from -1 downwards (-1 itself is inside, and reads zero too) and from `height` or `width`
// upwards, and where it is not a number. It holds no loops over pixels and no threads.
// Source: Zhu et al., "Deformable ConvNets v2", CVPR 2019.
#pragma once

#include "arithmetic.h"

namespace lutra {

constexpr int kTaps = 9;

LUTRA_INLINE int tap_row(int tap) { return tap / 3 - 1; }
LUTRA_INLINE int tap_column(int tap) { return tap % 3 - 1; }

// On one axis of `size` pixels: the pixel before the place, -1 to size - 1, and how far it is to the next.
template <typename T>
struct Stretch {
  int before;
  T part;
};

template <typename T>
LUTRA_INLINE bool is_within(T at, int size) {
  return at >= T(-1) && at < T(size);  // so written, NaN is not
}

// Of a place that is within: only such a place has an integer of its own.
template <typename T>
LUTRA_INLINE Stretch<T> stretch(T at, int size) {
  int before = int(at + T(1)) - 1;
  if (before > size - 1) before = size - 1;  // where T(size) is above size
  if (T(before) > at) --before;              // where at + 1 was rounded up
  return {before, at - T(before)};
}

}  // namespace lutra
