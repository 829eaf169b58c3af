// The arithmetic of table super-resolution (EC-LUT), for the CPU (.cpp) and for CUDA (.cu). It holds no loops over
// pixels and no threads.
//
// Direction 0 pairs a pixel with the one below it, 1 with the left one, 2 with the one above, 3 with the right one: the
// picture rotated by `direction` quarter turns, counter-clockwise, has each of them below. A table's row is laid out as
// the rotated picture sees it; no picture is rotated.
// Source: Yin and Shen, "EC-LUT", AAAI 2024; kernels/reference/eclut.py is the specification.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

constexpr int kEclutReach = 2;  // pixels on each side that a large pixel depends on
constexpr int kEclutRows = 256 * 256;
constexpr int kEclutUnit = 3;  // of two levels each: an entry e is 6 e levels beyond its pixel

// The pixel that stands at `place` when 0 to size - 1 are continued by reflection, the edge not repeated.
LUTRA_INLINE int eclut_reflect(int place, int size) {
  const int period = size > 1 ? 2 * size - 2 : 1;
  int inside = place % period;
  if (inside < 0) inside += period;
  return inside < period - inside ? inside : period - inside;
}

LUTRA_INLINE constexpr int eclut_neighbour_row(int direction) { return direction == 0 ? 1 : direction == 2 ? -1 : 0; }
LUTRA_INLINE constexpr int eclut_neighbour_column(int direction) { return direction == 3 ? 1 : direction == 1 ? -1 : 0; }

LUTRA_INLINE constexpr unsigned eclut_row(unsigned pixel, unsigned neighbour) { return pixel << 8 | neighbour; }

// Where a square of `side` times `side` cells, row by row as `direction` sees it, holds the picture's cell (row, column).
LUTRA_INLINE constexpr int eclut_turned(int direction, int row, int column, int side) {
  const int last = side - 1;
  return direction == 0   ? row * side + column
         : direction == 1 ? (last - column) * side + row
         : direction == 2 ? (last - row) * side + last - column
                          : column * side + last - row;
}

// How many of the nine maps of step "hr" cover cell (row, column) of the square of scale + 2 cells a side.
LUTRA_INLINE constexpr int eclut_covered(int cell, int scale) {
  return (cell < 2 ? cell : 2) - (cell < scale ? 0 : cell - scale + 1) + 1;
}
LUTRA_INLINE constexpr int eclut_coverage(int row, int column, int scale) {
  return eclut_covered(row, scale) * eclut_covered(column, scale);
}

// An entry for step "hr", in units of two levels, held to what nine int8 maps can sum to; so no sum of 36 leaves 16 bits.
LUTRA_INLINE constexpr int eclut_held(int entry, int coverage) {
  const int low = -128 * kEclutUnit * coverage, high = 127 * kEclutUnit * coverage;
  return entry < low ? low : entry > high ? high : entry;
}

// Thirty-six values, divided: `halves` is half their sum, and floor((2 halves + 18) / 36) is clamped to 0 to 255. A
// product with 3641 and a shift by 16 is the exact quotient by 18 up to 32,776; the largest halves, 18 (255 + 6 * 127)
// and the 9 that are added, make 18,315.
constexpr int kEclutHalf = 9;
constexpr unsigned kEclutReciprocal = 3641;
LUTRA_INLINE constexpr int eclut_code(int halves) {
  const unsigned rounded = halves + kEclutHalf > 0 ? unsigned(halves + kEclutHalf) : 0u;
  const unsigned code = rounded * kEclutReciprocal >> 16;
  return code < 255 ? int(code) : 255;
}

}  // namespace lutra
