// A bfloat16 as it lies in memory, the upper half of a float32, for the processor and for CUDA.
#pragma once

#include "shared/arithmetic.h"

namespace lutra {

struct Bfloat16 {
  unsigned short bits;
};

union Word {
  float value;
  unsigned bits;
};

LUTRA_INLINE float widen(Bfloat16 from) {
  Word word;
  word.bits = unsigned(from.bits) << 16;
  return word.value;
}

// To the nearest, ties to even; a NaN stays one.
LUTRA_INLINE Bfloat16 narrow(float from) {
  Word word;
  word.value = from;
  const unsigned rounded = (word.bits + 0x7fffu + ((word.bits >> 16) & 1u)) >> 16;
  return {(unsigned short)(from == from ? rounded : (word.bits >> 16) | 0x40u)};
}

}  // namespace lutra
