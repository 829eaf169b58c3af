// Table super-resolution seen from the large picture: what one channel of one small pixel's large block is the sum of.
//
// `kernels/reference/eclut.py` defines it by what a pixel gives to its neighbours in four rotations of the picture. Here
// the block takes from its nine neighbours in four directions without rotating anything, so no two writers meet. Row and
// column offsets are rotated instead, at compile time. It holds no loops over pixels and no threads.
#pragma once

#include "arithmetic.h"

namespace lutra {

constexpr int kReach = 2;               // small pixels on each side that a large one depends on
constexpr int kWindow = 2 * kReach + 1;
constexpr int kTerms = 36;              // values that meet in one large pixel: nine parts, four directions

struct Window {
  int code[kWindow][kWindow];  // of one channel; the outermost corners are not read
};

// A place from -2 to size + 1 folded back into 0 to size - 1, the edge not repeated.
LUTRA_INLINE int reflected(int at, int size) {
  if (size == 1) return 0;
  const int period = 2 * size - 2;
  const int folded = (at + 2 * period) % period;
  return folded < size ? folded : period - folded;
}

// A step in the picture turned `turn` quarters counter-clockwise, from the same step in the picture itself.
LUTRA_INLINE constexpr int turned_row(int turn, int row, int column) {
  return turn == 0 ? row : turn == 1 ? -column : turn == 2 ? -row : column;
}

LUTRA_INLINE constexpr int turned_column(int turn, int row, int column) {
  return turn == 0 ? column : turn == 1 ? row : turn == 2 ? -column : -row;
}

// The same for a place in a square of `side`; a place is twice its distance from the middle, halved again.
LUTRA_INLINE constexpr int turned_place(int turn, int row, int column, int side) {
  const int r = 2 * row - side + 1, c = 2 * column - side + 1;
  return (turned_row(turn, r, c) + side - 1) / 2 * side + (turned_column(turn, r, c) + side - 1) / 2;
}

// What is "below" in the turned picture, in the picture itself: below, left, above, right.
LUTRA_INLINE constexpr int below_row(int turn) { return turn == 0 ? 1 : turn == 2 ? -1 : 0; }
LUTRA_INLINE constexpr int below_column(int turn) { return turn == 1 ? -1 : turn == 3 ? 1 : 0; }

// The row that the pixel at (row, column) from the middle chooses.
template <int turn>
LUTRA_INLINE int row_of(const Window& window, int row, int column) {
  const int y = kReach + row, x = kReach + column;
  return 256 * window.code[y][x] + window.code[y + below_row(turn)][x + below_column(turn)];
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

// Step "lr": adds the nine parts of one direction, an entry e being 2 e beyond the code of its pixel.
template <int scale, int turn>
LUTRA_INLINE void add_blocks(const Window& window, const signed char* table, int (&sum)[scale * scale]) {
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int neighbour = 0; neighbour < 9; ++neighbour) {
    const int row = neighbour / 3 - 1, column = neighbour % 3 - 1;  // of the pixel that gives; it sees us at their negative
    const int part = 3 * (turned_row(turn, -row, -column) + 1) + turned_column(turn, -row, -column) + 1;
    int entry[scale * scale];
    load_part<scale>(table + (row_of<turn>(window, row, column) * 9 + part) * scale * scale, entry);
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < scale * scale; ++i) sum[i] += 2 * entry[turned_place(turn, i / scale, i % scale, scale)];
  }
}

// How many of three maps, one large pixel apart, cover place `at` of a square's side; none outside it.
LUTRA_INLINE constexpr int covered(int at, int scale) {
  if (at < 0 || at >= scale + 2) return 0;
  const int first = at - scale + 1 > 0 ? at - scale + 1 : 0, last = at < 2 ? at : 2;
  return last - first + 1;
}

// Step "hr": where large pixel `at` of our block lies in the square of a pixel `offset` small pixels away, on one axis.
LUTRA_INLINE constexpr int square_place(int at, int offset, int scale) { return at - offset * scale + 1; }

// Step "hr": adds the squares of one direction, which reach one large pixel beyond their block.
template <int scale, int turn>
LUTRA_INLINE void add_squares(const Window& window, const short* table, int (&sum)[scale * scale]) {
  constexpr int kSide = scale + 2;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int neighbour = 0; neighbour < 9; ++neighbour) {
    const int row = neighbour / 3 - 1, column = neighbour % 3 - 1;
    const short* square = table + row_of<turn>(window, row, column) * kSide * kSide;
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (int i = 0; i < scale * scale; ++i) {
      const int y = square_place(i / scale, row, scale), x = square_place(i % scale, column, scale);
      const int count = covered(y, scale) * covered(x, scale);
      if (count == 0) continue;
      const int held = square[turned_place(turn, y, x, kSide)];
      sum[i] += held < -256 * count ? -256 * count : held > 254 * count ? 254 * count : held;
    }
  }
}

// Step "hr": the codes of the nine pixels, each as often as its maps cover large pixel `i` of our block.
template <int scale>
LUTRA_INLINE int covering_codes(const Window& window, int i) {
  int sum = 0;
  for (int row = -1; row <= 1; ++row)
    for (int column = -1; column <= 1; ++column) {
      const int y = square_place(i / scale, row, scale), x = square_place(i % scale, column, scale);
      sum += covered(y, scale) * covered(x, scale) * window.code[kReach + row][kReach + column];
    }
  return sum;
}

// The codes of the nine pixels, which each block of step "lr" takes as often as there are directions.
LUTRA_INLINE int nine_codes(const Window& window) {
  int sum = 0;
  for (int row = -1; row <= 1; ++row)
    for (int column = -1; column <= 1; ++column) sum += window.code[kReach + row][kReach + column];
  return sum;
}

// A sum of thirty-six values as a code: divided once, halves up, clamped.
LUTRA_INLINE unsigned char to_byte(int sum) {
  if (sum < 0) return 0;
  const unsigned code = (unsigned(sum) + kTerms / 2) / kTerms;
  return (unsigned char)(code < 255u ? code : 255u);
}

}  // namespace lutra
