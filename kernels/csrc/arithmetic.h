// The arithmetic of the kernels, once, for the CPU (.cpp) and for CUDA (.cu): what a test runs here runs there.
//
// Nothing from std is included, so that NVRTC compiles it without a toolkit. Colours are red, green, blue; a table has
// `nodes` nodes an axis, red fastest. It holds no loops over pixels and no threads.
// Source: Zeng et al., "Learning Image-Adaptive 3D Lookup Tables", TPAMI 2022 (trilinear look-up, blended once).
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define LUTRA_INLINE __host__ __device__ __forceinline__
#else
#define LUTRA_INLINE inline
#endif

namespace lutra {

// ---- A place on one axis of a table ----------------------------------------------------------------------------

template <typename T>
struct Place {
  int cell;  // 0 to nodes - 2
  T part;    // 0 to 1 from node `cell` to node `cell + 1`
};

// A colour clamped to [0, 1]; NaN counts as 0.
template <typename T>
LUTRA_INLINE T clean(T colour) {
  return colour > T(0) ? (colour < T(1) ? colour : T(1)) : T(0);
}

// Where a colour lies: q = colour (nodes - 1), cell = min(floor q, nodes - 2), part = q - cell.
template <typename T>
LUTRA_INLINE Place<T> place(T colour, int nodes) {
  const T q = clean(colour) * T(nodes - 1);
  int cell = int(q);
  if (cell > nodes - 2) cell = nodes - 2;
  return {cell, q - T(cell)};
}

template <typename T>
LUTRA_INLINE T blend(T first, T second, T part) {
  return first + part * (second - first);
}

// Eight corners named by (blue, green, red).
template <typename T>
LUTRA_INLINE T trilinear(T c000, T c001, T c010, T c011, T c100, T c101, T c110, T c111, T red, T green, T blue) {
  const T near = blend(blend(c000, c001, red), blend(c010, c011, red), green);
  const T far = blend(blend(c100, c101, red), blend(c110, c111, red), green);
  return blend(near, far, blue);
}

// A value of the table as a code: floor(clamp(top value + 1/2, 0, top)); top is 255 or 65535.
template <typename T>
LUTRA_INLINE T to_code(T value, T top) {
  const T scaled = value * top + T(0.5);
  return scaled > T(0) ? (scaled < top ? scaled : top) : T(0);
}

// ---- The same in 16-bit integers, for 8-bit pictures and tame tables -------------------------------------------
//
// Weights are counted in 1/32767, so that every one of them, 1 included, fits a signed 16-bit lane; the eight weights of
// a pixel sum to kOne exactly. A table is stored as (value - middle) times a power of two, so that one shift and the
// narrowing of the processor's pack instructions give the code.

constexpr int kOne = 32767;
constexpr int kWeightBits = 15;

struct FixedPlace {
  int cell;  // 0 to nodes - 2
  int part;  // 0 to kOne
};

// Where an 8-bit value lies: value / 255 (nodes - 1), rounded down to 1/65536 of a cell and then to 1/32768. Code 255
// (and each value that meets a node) lies at the far end of its cell, so no cell ends outside the table.
LUTRA_INLINE FixedPlace fixed_place(int value, int nodes) {
  const unsigned q = unsigned(value) * 257u * unsigned(nodes - 1);
  const unsigned cell = q >> 16;
  return {int(cell), int(((q & 0xffffu) + cell) >> 1)};
}

// Product of two weights, rounded to nearest, as pmulhrsw computes it.
LUTRA_INLINE int fixed_product(int a, int b) { return (a * b + (1 << (kWeightBits - 1))) >> kWeightBits; }

// The eight weights, named by (blue, green, red); by construction they sum to kOne.
struct FixedWeights {
  int w[8];
};

LUTRA_INLINE FixedWeights fixed_weights(int red, int green, int blue) {
  const int far_far = fixed_product(green, blue);
  const int plane[4] = {kOne - green - blue + far_far, green - far_far, blue - far_far, far_far};
  FixedWeights out;
  for (int i = 0; i < 4; ++i) {
    const int second = fixed_product(plane[i], red);
    out.w[2 * i] = plane[i] - second;
    out.w[2 * i + 1] = second;
  }
  return out;
}

// The blended code before clamping: `sum` of weight times entry, `bias` the middle of the table and the half, `shift`
// the weight's and the table's bits.
LUTRA_INLINE int fixed_code(int sum, int bias, int shift) { return (sum + bias) >> shift; }

}  // namespace lutra
