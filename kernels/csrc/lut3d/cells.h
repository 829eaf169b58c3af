// The look-up of 8-bit pictures by cells, whose weights are exact: what `lut3d.cu` runs for every pixel.
//
// Where nodes - 1 divides 32, the 8-bit codes 8c to 8c + 7 of an axis lie between the same two nodes. So the axis has 32
// cells of eight codes, and a table is stored as the values its blend has at codes 8c and 8c + 8 (the latter extended
// beyond the far node where it lies there: the blend is linear on an axis). The weights are then (8 - k)/8 and k/8, with
// k the code's low three bits: integers, or fractions that a texture unit's eight bits hold without rounding. What is
// lost is the rounding of a stored value to 1/2^bits of a code alone, whatever the steps of the table.
// It holds no loops over pixels and no threads.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

constexpr int kCells = 32;      // on an axis
constexpr int kCellCodes = 8;   // codes a cell
constexpr int kWeightSum = kCellCodes * kCellCodes * kCellCodes;
constexpr int kMaxBits = 7;     // a stored value counts 1/128 of a code,
constexpr int kMinBits = 6;     // at the least 1/64: half of that is below a hundredth of a code
constexpr int kFarCodes = 8192; // codes from zero beyond which the bias of a sum would leave 32 bits

// How the values of a table are stored: code value = low + stored / 2^bits; bits is 0 where they do not fit.
struct Range {
  float low;
  int bits;
};

LUTRA_INLINE float floor_of(float value) {
  const float whole = float(int(value));
  return whole > value ? whole - 1.0f : whole;
}

// From the least and the largest node. A corner lies at most (nodes - 1)/255 of a cell beyond its node, which widens
// half the range by 1 + 2 (nodes - 1)/255 an axis.
LUTRA_INLINE Range stored_range(float least, float largest, int nodes) {
  const float wider = 1.0f + 2.0f * float(nodes - 1) / 255.0f;
  const float half = 127.5f * (largest - least) * wider * wider * wider;
  const float middle = 127.5f * (largest + least);
  if (!(half <= 1000.0f && middle - half > float(-kFarCodes) && middle + half < float(kFarCodes))) return {0.0f, 0};
  const float low = floor_of(middle - half);
  for (int bits = kMaxBits; bits >= kMinBits; --bits)
    if ((middle + half - low) * float(1 << bits) <= 65535.0f) return {low, bits};
  return {0.0f, 0};
}

struct Corner {
  int cell;    // of the table, 0 to nodes - 2
  float part;  // may pass 1: the blend is extended
};

// Where the corner `far` (0 or 1) of cell `c` lies in the table: that of the cell's first code, one cell further.
LUTRA_INLINE Corner corner_place(int c, int far, int nodes) {
  const int first = c * kCellCodes * (nodes - 1);
  const int cell = first / 255;
  return {cell, float(first + far * kCellCodes * (nodes - 1) - cell * 255) / 255.0f};
}

// One channel (nodes, nodes, nodes) of a table at a corner, as it is stored.
LUTRA_INLINE unsigned stored_corner(const float* channel, int nodes, Corner red, Corner green, Corner blue, Range range) {
  const float* at = channel + (blue.cell * nodes + green.cell) * nodes + red.cell;
  const int row = nodes, plane = nodes * nodes;
  const float value =
      trilinear(at[0], at[1], at[row], at[row + 1], at[plane], at[plane + 1], at[plane + row], at[plane + row + 1],
                red.part, green.part, blue.part);
  const float scaled = (value * 255.0f - range.low) * float(1 << range.bits) + 0.5f;
  return unsigned(scaled > 0.0f ? (scaled < 65535.0f ? scaled : 65535.0f) : 0.0f);
}

// One channel of a cell: words named by (blue, green), each its two red corners, the near one in the low half.
struct CellWords {
  unsigned word[4];
};

LUTRA_INLINE CellWords cell_words(const float* channel, int nodes, int red, int green, int blue, Range range) {
  CellWords out;
  for (int far = 0; far < 4; ++far) {
    const Corner b = corner_place(blue, far >> 1, nodes), g = corner_place(green, far & 1, nodes);
    const unsigned near_red = stored_corner(channel, nodes, corner_place(red, 0, nodes), g, b, range);
    const unsigned far_red = stored_corner(channel, nodes, corner_place(red, 1, nodes), g, b, range);
    out.word[far] = near_red | (far_red << 16);
  }
  return out;
}

LUTRA_INLINE int cell_index(unsigned red, unsigned green, unsigned blue) {
  return int(((blue >> 3) * kCells + (green >> 3)) * kCells + (red >> 3));
}

// The four weights of (green, red), each 0 to 64, a byte each: near near, near far, far near, far far.
LUTRA_INLINE unsigned cell_weights(unsigned red, unsigned green) {
  const unsigned along_red = kCellCodes + 255u * (red & 7u);            // bytes 8 - k, k
  return along_red * (kCellCodes + 65535u * (green & 7u));              // halves times 8 - k, k
}

// sum + low half of `pair` times byte 0 of `weights` + its high half times byte 1; `_far`: bytes 2 and 3.
LUTRA_INLINE unsigned dot_near(unsigned pair, unsigned weights, unsigned sum) {
#ifdef __CUDA_ARCH__
  return __dp2a_lo(pair, weights, sum);
#else
  return sum + (pair & 0xffffu) * (weights & 0xffu) + (pair >> 16) * ((weights >> 8) & 0xffu);
#endif
}

LUTRA_INLINE unsigned dot_far(unsigned pair, unsigned weights, unsigned sum) {
#ifdef __CUDA_ARCH__
  return __dp2a_hi(pair, weights, sum);
#else
  return dot_near(pair, weights >> 16, sum);
#endif
}

// (low + 1/2) in the units of a weighted sum: what makes the shift below round half up.
LUTRA_INLINE int cell_bias(Range range) { return (2 * int(range.low) + 1) * (1 << range.bits) * (kWeightSum / 2); }

// The blended code of one channel, before it is clamped.
LUTRA_INLINE int cell_code(unsigned w00, unsigned w01, unsigned w10, unsigned w11, unsigned weights, unsigned blue,
                           int bias, int shift) {
  const unsigned near = dot_far(w01, weights, dot_near(w00, weights, 0u));
  const unsigned far = dot_far(w11, weights, dot_near(w10, weights, 0u));
  const unsigned k = blue & 7u;
  return (bias + int(near * (kCellCodes - k)) + int(far * k)) >> shift;
}

LUTRA_INLINE int cell_shift(Range range) { return 9 + range.bits; }

// Where a code lies on an axis of the texture of corners, two texels a cell, counted from the middle of the first.
LUTRA_INLINE float texel_place(unsigned code) { return float(code + (code & 0xf8u)) * 0.125f + 0.5f; }

// Four codes clamped to a byte each, the first lowest.
LUTRA_INLINE unsigned pack_bytes(int first, int second, int third, int fourth) {
#ifdef __CUDA_ARCH__
  unsigned upper, all;
  asm("cvt.pack.sat.u8.s32.b32 %0, %1, %2, 0;" : "=r"(upper) : "r"(fourth), "r"(third));
  asm("cvt.pack.sat.u8.s32.b32 %0, %1, %2, %3;" : "=r"(all) : "r"(second), "r"(first), "r"(upper));
  return all;
#else
  const int code[4] = {first, second, third, fourth};
  unsigned all = 0;
  for (int i = 0; i < 4; ++i) all |= unsigned(code[i] < 0 ? 0 : (code[i] > 255 ? 255 : code[i])) << (8 * i);
  return all;
#endif
}

// ---- Any table, 8 and 16 bits, in float ------------------------------------------------------------------------

// As `code_place`, with a product in place of the division, which is slow on a device: the part may differ by its last
// bit.
LUTRA_INLINE Place<float> code_place_by_product(unsigned code, int nodes, int top) {
  const int q = int(code) * (nodes - 1);
  int cell = q / top;
  if (cell > nodes - 2) cell = nodes - 2;
  return {cell, float(q - cell * top) * (1.0f / float(top))};
}

}  // namespace lutra
