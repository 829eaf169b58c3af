// The 1x1 products of a NAF block: a few pixels by two vectors of outputs in registers. A panel of weights stays in the
// nearest cache while all pixels of a strip pass.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>

#include "naf_block/naf_operand.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 12;  // pixels in flight; two vectors of sums each
#else
constexpr int kRows = 6;
#endif
constexpr Size kPixel = 2 * kLanes;  // of what is held, between pixels: a vector of each half

// kRows pixels by a panel of kVectors vectors of outputs; `end` has the sums of a pixel. Every third pixel has a pointer of
// its own, of which the compiler knows nothing: it would keep one for each, in more registers than there are.
template <int kVectors, typename End>
LUTRA_LOOP void multiply(const Operand* pixels, Size channels, const Operand* panel, const float* bias, const End& end) {
  Vector sums[kRows][kVectors];
  LUTRA_UNROLL
  for (int r = 0; r < kRows; ++r) {
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) sums[r][v] = load(bias + v * kLanes);
  }
  const Operand* thirds[kRows / 3];
  LUTRA_UNROLL
  for (int i = 0; i < kRows / 3; ++i) {
    thirds[i] = pixels + 3 * i * channels;
    asm("" : "+r"(thirds[i]));
  }
  _Pragma("GCC unroll 4")
  for (Size k = 0; k < channels; k += kPair) {
    Factors column[kVectors];
    LUTRA_UNROLL
    for (int v = 0; v < kVectors; ++v) column[v] = load_factors(panel + k * kVectors * kLanes + v * kLanes * kPair);
    LUTRA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const Factors value = factors_everywhere(thirds[r / 3] + r % 3 * channels + k);
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(column[v], value, sums[r][v]);
    }
  }
  LUTRA_UNROLL
  for (int r = 0; r < kRows; ++r) end(r, sums[r]);
}

// Each panel of pairs that are gated, and where its outputs begin.
template <typename Each>
LUTRA_LOOP void in_pairs(Size channels, const Operand* panel, const float* bias, const Each& each) {
  for (Size c = 0; c < channels; c += kLanes, panel += 2 * kLanes * channels, bias += 2 * kLanes) each(c, panel, bias);
}

// (pixels, C) -> kLanes channels of each half for all pixels after the other: (C / kLanes, room, 2, kLanes).
__attribute__((noinline)) void widen_channels(const Operand* from, Size pixels, Size channels, const Operand* weights,
                                              const float* biases, float* to, Size room) {
  in_pairs(channels, weights, biases, [&](Size c, const Operand* panel, const float* bias)
      __attribute__((always_inline)) {
    in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
      multiply<2>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[2])
          __attribute__((always_inline)) {
        float* const pixel = to + c * 2 * room + (at + r) * 2 * kLanes;
        store(pixel, sums[0]);
        store(pixel + kLanes, sums[1]);
      });
    });
  });
}

// (pixels, C) -> (pixels, C), the first half of twice as many channels times the second.
__attribute__((noinline)) void widen_and_gate(const Operand* from, Size pixels, Size channels, const Operand* weights,
                                              const float* biases, Operand* to) {
  in_pairs(channels, weights, biases, [&](Size c, const Operand* panel, const float* bias)
      __attribute__((always_inline)) {
    in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
      multiply<2>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[2])
          __attribute__((always_inline)) { store(to + (at + r) * channels + c, sums[0] * sums[1]); });
    });
  });
}

template <int kVectors>
LUTRA_LOOP void add_panel(const Operand* from, Size pixels, Size channels, const Operand* panel, const float* bias,
                          const float* factor, const float* given, float* to) {
  Vector factors[kVectors];
  LUTRA_UNROLL
  for (int v = 0; v < kVectors; ++v) factors[v] = load(factor + v * kLanes);
  in_groups(pixels, kRows, [&](Size at) __attribute__((always_inline)) {
    multiply<kVectors>(from + at * channels, channels, panel, bias, [&](int r, const Vector (&sums)[kVectors])
        __attribute__((always_inline)) {
      LUTRA_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        const Size place = (at + r) * channels + v * kLanes;
        store(to + place, multiply_add(sums[v], factors[v], load(given + place)));
      }
    });
  });
}

// (pixels, C) -> (pixels, C), times a factor of each output and added to what is given.
__attribute__((noinline)) void add_product(const Operand* from, Size pixels, Size channels, const Operand* weights,
                                           const float* bias, const float* factor, const float* given, float* to) {
  Size c = 0;
  for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {
    add_panel<2>(from, pixels, channels, weights + c * channels, bias + c, factor + c, given + c, to + c);
  }
  if (c < channels) add_panel<1>(from, pixels, channels, weights + c * channels, bias + c, factor + c, given + c, to + c);
}

}  // namespace
}  // namespace lutra
