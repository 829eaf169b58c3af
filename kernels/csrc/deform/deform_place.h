// Where a tap of the modulated deformable convolution reads, for the processor and for CUDA.
//
// A place (y, x) lies in the bilinear cell whose first corner is (floor y, floor x), from (-1, -1) to the last pixel; it
// is outside, and reads zero, below -1, from `height` or `width` upwards, and where it is not a number. It holds no
// loops over pixels and no threads.
// Source: Zhu et al., "Deformable ConvNets v2", CVPR 2019.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

constexpr int kTaps = 9;
constexpr int kCellCorners = 4;  // top left, top right, bottom left, bottom right

LUTRA_INLINE int tap_row(int tap) { return tap / 3 - 1; }
LUTRA_INLINE int tap_column(int tap) { return tap % 3 - 1; }

template <typename T>
LUTRA_INLINE bool is_within(T at, int size) {
  return at >= T(-1) && at < T(size);  // so written, NaN is not
}

// On one axis: the pixel before the place, -1 to size - 1, and how far it is to the next.
template <typename T>
struct Stretch {
  int before;
  T part;
};

// Of a place that is within: only such a place has an integer of its own.
template <typename T>
LUTRA_INLINE Stretch<T> stretch(T at, int size) {
  int before = int(at + T(1)) - 1;
  if (before > size - 1) before = size - 1;  // where T(size) is above size
  if (T(before) > at) --before;              // where at + 1 was rounded up
  return {before, at - T(before)};
}

template <typename T>
struct Cell {
  int row, column;  // of the first corner
  T down, right;    // 0 to 1 from the first corner to the last
  bool inside[kCellCorners];
};

template <typename T>
LUTRA_INLINE Cell<T> find_cell(T y, T x, int height, int width) {
  if (!is_within(y, height) || !is_within(x, width)) return {0, 0, T(0), T(0), {false, false, false, false}};
  const Stretch<T> vertical = stretch(y, height), horizontal = stretch(x, width);
  const bool top = vertical.before >= 0, bottom = vertical.before < height - 1;
  const bool left = horizontal.before >= 0, over = horizontal.before < width - 1;
  return {vertical.before,
          horizontal.before,
          vertical.part,
          horizontal.part,
          {top && left, top && over, bottom && left, bottom && over}};
}

template <typename T>
LUTRA_INLINE T cell_weight(int corner, const Cell<T>& cell) {
  return (corner & 2 ? cell.down : T(1) - cell.down) * (corner & 1 ? cell.right : T(1) - cell.right);
}

}  // namespace lutra
