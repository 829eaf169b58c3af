// The look-up of one float colour and its gradients, for `lut3d_float.cu`.
//
// Gradients are those of `grid_sample` with border padding, which is the reference: a colour at or beyond 0 or 1, and
// NaN, has none; a colour on a node has that of the cell beyond it. It holds no loops over pixels and no threads.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

template <typename T>
struct Spot {
  int index;  // of the corner nearest to black, in one channel of the table
  T red, green, blue;
};

template <typename T>
LUTRA_INLINE Spot<T> find_spot(T red, T green, T blue, int nodes) {
  const Place<T> r = place(red, nodes), g = place(green, nodes), b = place(blue, nodes);
  return {(b.cell * nodes + g.cell) * nodes + r.cell, r.part, g.part, b.part};
}

// Offset of a corner, its bits named (blue, green, red), from the corner nearest to black.
LUTRA_INLINE int corner_offset(int corner, int nodes) {
  return ((corner >> 2) * nodes + ((corner >> 1) & 1)) * nodes + (corner & 1);
}

// `channel` points at one channel of the table.
template <typename T>
LUTRA_INLINE T sample(const T* channel, int nodes, const Spot<T>& spot) {
  const T* at = channel + spot.index;
  const int row = nodes, plane = nodes * nodes;
  return trilinear(at[0], at[1], at[row], at[row + 1], at[plane], at[plane + 1], at[plane + row], at[plane + row + 1],
                   spot.red, spot.green, spot.blue);
}

// Of one channel, a cell. Each is a blend of four differences; `trilinear_slopes`, which the CPU calls, uses a blend for
// several slopes and so rounds otherwise: last bits differ. tests/kernels/test_arithmetic.py compares them.
template <typename T>
LUTRA_INLINE Slopes<T> channel_slopes(const T* channel, int nodes, const Spot<T>& spot) {
  const T* at = channel + spot.index;
  const int row = nodes, plane = nodes * nodes;
  const T c000 = at[0], c001 = at[1], c010 = at[row], c011 = at[row + 1];
  const T c100 = at[plane], c101 = at[plane + 1], c110 = at[plane + row], c111 = at[plane + row + 1];
  const T along_red = blend(blend(c001 - c000, c011 - c010, spot.green), blend(c101 - c100, c111 - c110, spot.green),
                            spot.blue);
  const T along_green = blend(blend(c010 - c000, c011 - c001, spot.red), blend(c110 - c100, c111 - c101, spot.red),
                              spot.blue);
  const T along_blue = blend(blend(c100 - c000, c101 - c001, spot.red), blend(c110 - c010, c111 - c011, spot.red),
                             spot.green);
  return {along_red, along_green, along_blue};
}

}  // namespace lutra
