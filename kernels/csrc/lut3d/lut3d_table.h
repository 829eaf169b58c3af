// A colour table as the look-up reads it: analysed once, then laid out so that a load fetches what a pixel needs.
//
// The tables handed in are (3, D, D, D) float32, [channel, blue, green, red], finite. Nothing here knows of pictures.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "lut3d/lut3d_runs.h"

namespace lutra {

// What decides how a table may be read.
struct TableFacts {
  float low, high;         // its smallest and largest value
  float green, blue;       // largest difference between neighbours along these axes
  float mixed;             // largest mixed difference over a face of green and blue
};

TableFacts table_facts(const float* lut, int nodes);

// What 16-bit entries and weights may add to the half code of rounding, in 8-bit codes.
constexpr double kFixedError = 0.01;

// Whether they hold this table to within `kFixedError`.
bool is_tame(const TableFacts& facts, int nodes);

struct FreeAligned {
  template <typename T>
  void operator()(T* memory) const {
    ::operator delete[](memory, std::align_val_t(64));
  }
};

template <typename T>
using Aligned = std::unique_ptr<T[], FreeAligned>;

template <typename T>
Aligned<T> aligned_array(std::size_t size) {
  return Aligned<T>(new (std::align_val_t(64)) T[size]);
}

// Lays the table out in `storage`, which must outlive what is returned.
FixedTable fixed_table(const float* lut, int nodes, const TableFacts& facts, Aligned<std::int16_t>& storage);

template <typename T>
WideTable<T> wide_table(const float* lut, int nodes, Aligned<T>& storage);

}  // namespace lutra
