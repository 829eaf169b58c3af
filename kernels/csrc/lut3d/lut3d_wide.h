// The look-up in floating point, for every table and both depths; vectors are as wide as the compiler may make them.
//
// It blends as `trilinear`; with two neighbours along red in one vector, the axes in another order.
// A node is four numbers (red, green, blue, zero) and its neighbour along red the next four. Included once by a file of
// each set of instructions, which gets a copy of its own.
#pragma once

#include <cstring>

#include "shared/arithmetic.h"
#include "lut3d/lut3d_runs.h"

namespace lutra {
namespace {

template <typename T>
using Quad [[gnu::vector_size(4 * sizeof(T))]] = T;
template <typename T>
using Eight [[gnu::vector_size(8 * sizeof(T))]] = T;

template <typename T>
struct Pixel {
  std::ptrdiff_t node;
  T red, green, blue;
};

// Places of all codes of one depth: looked up for 8 bits, computed for 16.
template <typename Code, typename T>
class Places {
 public:
  explicit Places(int nodes) : nodes_(nodes) {
    for (unsigned code = 0; code < 256; ++code) known_[code] = code_place<T>(code, 255, nodes);
  }
  Place<T> operator[](Code code) const {
    if constexpr (sizeof(Code) == 1) return known_[code];
    return code_place<T>(code, 65535, nodes_);
  }

 private:
  Place<T> known_[256];
  int nodes_;
};

#ifdef __AVX__  // two neighbours along red in one vector, blended along red last

template <typename T>
inline Quad<T> look_up(const T* node, std::ptrdiff_t row, std::ptrdiff_t plane, const Pixel<T>& pixel) {
  const auto pair = [](const T* p) {
    Eight<T> both;
    std::memcpy(&both, p, sizeof both);
    return both;
  };
  const Eight<T> green = Eight<T>{} + pixel.green, blue = Eight<T>{} + pixel.blue;
  const Eight<T> near = blend(pair(node), pair(node + row), green);
  const Eight<T> far = blend(pair(node + plane), pair(node + plane + row), green);
  const Eight<T> both = blend(near, far, blue);
  Quad<T> halves[2];
  std::memcpy(halves, &both, sizeof halves);
  return blend(halves[0], halves[1], Quad<T>{} + pixel.red);
}

#else  // one node in one vector

template <typename T>
inline Quad<T> look_up(const T* node, std::ptrdiff_t row, std::ptrdiff_t plane, const Pixel<T>& pixel) {
  const auto at = [node](std::ptrdiff_t offset) { return *reinterpret_cast<const Quad<T>*>(node + offset); };
  const Quad<T> red = Quad<T>{} + pixel.red, green = Quad<T>{} + pixel.green, blue = Quad<T>{} + pixel.blue;
  const Quad<T> near_near = blend(at(0), at(4), red), near_far = blend(at(row), at(row + 4), red);
  const Quad<T> far_near = blend(at(plane), at(plane + 4), red);
  const Quad<T> far_far = blend(at(plane + row), at(plane + row + 4), red);
  return blend(blend(near_near, near_far, green), blend(far_near, far_far, green), blue);
}

#endif

// As `to_code`.
template <typename Code, typename T>
inline void write_code(Quad<T> value, Code* out) {
  using Integers [[gnu::vector_size(16)]] = int;
  constexpr T top = T(Code(-1));
  const Quad<T> zero{}, highest = zero + top;
  Quad<T> scaled = value * top + T(0.5);
  scaled = scaled > zero ? scaled : zero;
  scaled = scaled < highest ? scaled : highest;
  const Integers codes = __builtin_convertvector(scaled, Integers);
  for (int channel = 0; channel < 3; ++channel) out[channel] = Code(codes[channel]);
}

template <typename Code, typename T>
void wide_run(const WideTable<T>& table, const Code* in, Code* out, std::size_t count) {
  constexpr std::size_t chunk = 256;  // places first, so that no load of a node waits for its address
  const std::ptrdiff_t row = 4 * std::ptrdiff_t(table.nodes), plane = row * table.nodes;
  const Places<Code, T> places(table.nodes);
  Pixel<T> pixels[chunk];
  for (std::size_t first = 0; first < count; first += chunk) {
    const std::size_t size = count - first < chunk ? count - first : chunk;
    for (std::size_t i = 0; i < size; ++i, in += 3) {
      if (i % 16 == 0) prefetch(in + 6 * chunk, out + 3 * (i + chunk));
      const Place<T> red = places[in[0]], green = places[in[1]], blue = places[in[2]];
      pixels[i] = {4 * red.cell + row * green.cell + plane * blue.cell, red.part, green.part, blue.part};
    }
    for (std::size_t i = 0; i < size; ++i, out += 3) {
      const Pixel<T>& pixel = pixels[i];
      write_code<Code, T>(look_up(table.entries + pixel.node, row, plane, pixel), out);
    }
  }
}

}  // namespace
}  // namespace lutra
