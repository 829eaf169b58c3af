// The arithmetic of the look-up, for the CPU (.cpp) and for CUDA (.cu). Where vectors or a device need a text of their
// own, it names the function here that it equals, and tests/kernels/test_arithmetic.py compares the two.
//
// Nothing from std is included, so that NVRTC compiles it without a toolkit. Colours are red, green, blue; a table has
// `nodes` nodes an axis, red fastest. It holds no loops over pixels and no threads.
// Source: Zeng et al., "Learning Image-Adaptive 3D Lookup Tables", TPAMI 2022 (trilinear look-up, blended once).
#pragma once

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define LUTRA_INLINE __host__ __device__ __forceinline__
#else
#define LUTRA_INLINE static inline  // of internal linkage: see CMakeLists.txt
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

// Where an integer code of 0 to `top` (255 or 65535) lies, without rounding before the division.
template <typename T>
LUTRA_INLINE Place<T> code_place(unsigned code, unsigned top, int nodes) {
  const unsigned q = code * unsigned(nodes - 1);
  unsigned cell = q / top;
  if (cell > unsigned(nodes - 2)) cell = unsigned(nodes - 2);
  return {int(cell), T(q - cell * top) / T(top)};
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

// How fast the blend grows with each part: along red, the four differences of its neighbours, blended; likewise the rest.
template <typename T>
struct Slopes {
  T red, green, blue;
};

template <typename T>
LUTRA_INLINE Slopes<T> trilinear_slopes(T c000, T c001, T c010, T c011, T c100, T c101, T c110, T c111, T red, T green,
                                        T blue) {
  const T along[4] = {c001 - c000, c011 - c010, c101 - c100, c111 - c110};
  const T near = c000 + red * along[0], near_green = c010 + red * along[1];
  const T far = c100 + red * along[2], far_green = c110 + red * along[3];
  const T near_slope = near_green - near, far_slope = far_green - far;
  return {blend(blend(along[0], along[1], green), blend(along[2], along[3], green), blue),
          blend(near_slope, far_slope, blue), (far + green * far_slope) - (near + green * near_slope)};
}

// The eight weights of the blend, named by (blue, green, red).
template <typename T>
LUTRA_INLINE void trilinear_weights(T red, T green, T blue, T* weights) {
  const T near_red = T(1) - red, near_green = T(1) - green, near_blue = T(1) - blue;
  const T plane[4] = {near_green * near_blue, green * near_blue, near_green * blue, green * blue};
  for (int i = 0; i < 4; ++i) {
    weights[2 * i] = plane[i] * near_red;
    weights[2 * i + 1] = plane[i] * red;
  }
}

// What a step of a colour does to its place: 0 where it is clamped (at 0 and at 1 too) and for NaN.
template <typename T>
LUTRA_INLINE T place_slope(T colour, int nodes) {
  return colour > T(0) && colour < T(1) ? T(nodes - 1) : T(0);
}

// A value of the table as a code: floor(clamp(top value + 1/2, 0, top)); top is 255 or 65535.
template <typename T>
LUTRA_INLINE T to_code(T value, T top) {
  const T scaled = value * top + T(0.5);
  return scaled > T(0) ? (scaled < top ? scaled : top) : T(0);
}

}  // namespace lutra
