// Table super-resolution seen from the large picture: what one channel of one small pixel's large block is the sum of.
//
// `kernels/reference/eclut.py` defines it by what a pixel gives to its neighbours in four rotations of the picture. Here
// the block takes from its nine neighbours in four directions without rotating anything, so no two writers meet; places in
// a row of the table are turned at compile time (eclut_arithmetic.h). It holds no loops over pixels and no threads.
#pragma once

#include "eclut/eclut_arithmetic.h"

namespace lutra {

constexpr int kWindow = 2 * kEclutReach + 1;

struct Window {
  int code[kWindow][kWindow];  // of one channel; the outermost corners are not read
};

// The row that the pixel at (down, right) from the middle chooses in one direction.
template <int direction>
LUTRA_INLINE int row_of(const Window& window, int down, int right) {
  const int y = kEclutReach + down, x = kEclutReach + right;
  const int neighbour = window.code[y + eclut_neighbour_row(direction)][x + eclut_neighbour_column(direction)];
  return int(eclut_row(unsigned(window.code[y][x]), unsigned(neighbour)));
}

// One part of a row of step "lr", on a device in one load where its size allows; its address is then a multiple of that.
template <int scale>
LUTRA_INLINE void load_part(const signed char* from, int (&entry)[scale * scale]) {
#ifdef __CUDA_ARCH__
  if constexpr (scale == 4) {
    const int4 all = *reinterpret_cast<const int4*>(from);
    const int word[4] = {all.x, all.y, all.z, all.w};
    for (int i = 0; i < 16; ++i) entry[i] = int((signed char)(word[i / 4] >> (8 * (i % 4))));
  } else if constexpr (scale == 2) {
    const int word = *reinterpret_cast<const int*>(from);
    for (int i = 0; i < 4; ++i) entry[i] = int((signed char)(word >> (8 * i)));
  } else
#endif
    for (int i = 0; i < scale * scale; ++i) entry[i] = from[i];
}

// Step "lr": adds the nine parts of one direction, in units of two levels.
template <int scale, int direction>
LUTRA_INLINE void add_blocks(const Window& window, const signed char* table, int (&sum)[scale * scale]) {
  constexpr int kPart = scale * scale;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int neighbour = 0; neighbour < 9; ++neighbour) {
    const int down = neighbour / 3 - 1, right = neighbour % 3 - 1;  // of the pixel that gives: we lie at their negative
    const int part = eclut_turned(direction, 1 - down, 1 - right, 3);
    int entry[kPart];
    load_part<scale>(table + (row_of<direction>(window, down, right) * 9 + part) * kPart, entry);
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < kPart; ++i) sum[i] += kEclutUnit * entry[eclut_turned(direction, i / scale, i % scale, scale)];
  }
}

// Step "hr": where large pixel `at` of our block lies in the square of a pixel `offset` small pixels away, on one axis.
LUTRA_INLINE constexpr int square_place(int at, int offset, int scale) { return at - offset * scale + 1; }

// How many maps of that pixel cover it there; none outside the square.
LUTRA_INLINE constexpr int coverage_at(int y, int x, int scale) {
  const bool inside = y >= 0 && y < scale + 2 && x >= 0 && x < scale + 2;
  return inside ? eclut_coverage(y, x, scale) : 0;
}

// Step "hr": adds the squares of one direction, which reach one large pixel beyond their block.
template <int scale, int direction>
LUTRA_INLINE void add_squares(const Window& window, const short* table, int (&sum)[scale * scale]) {
  constexpr int kSide = scale + 2;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int neighbour = 0; neighbour < 9; ++neighbour) {
    const int down = neighbour / 3 - 1, right = neighbour % 3 - 1;
    const short* square = table + row_of<direction>(window, down, right) * kSide * kSide;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < scale * scale; ++i) {
      const int y = square_place(i / scale, down, scale), x = square_place(i % scale, right, scale);
      const int coverage = coverage_at(y, x, scale);
      if (coverage > 0) sum[i] += eclut_held(square[eclut_turned(direction, y, x, kSide)], coverage);
    }
  }
}

// Step "hr": the codes of the nine pixels, each as often as its maps cover large pixel `i` of our block.
template <int scale>
LUTRA_INLINE int covering_codes(const Window& window, int i) {
  int sum = 0;
  for (int down = -1; down <= 1; ++down)
    for (int right = -1; right <= 1; ++right) {
      const int y = square_place(i / scale, down, scale), x = square_place(i % scale, right, scale);
      sum += coverage_at(y, x, scale) * window.code[kEclutReach + down][kEclutReach + right];
    }
  return sum;
}

// Step "lr": the codes of the nine pixels, which a block takes once a direction.
LUTRA_INLINE int nine_codes(const Window& window) {
  int sum = 0;
  for (int down = -1; down <= 1; ++down)
    for (int right = -1; right <= 1; ++right) sum += window.code[kEclutReach + down][kEclutReach + right];
  return sum;
}

}  // namespace lutra
