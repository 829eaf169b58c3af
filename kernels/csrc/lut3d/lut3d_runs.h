// What the sets of instructions share: tables as they read them, and one function each for a run of pixels.
//
// Plain data alone, since files of several sets of instructions include it (CMakeLists.txt says why).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {

// 16-bit entries, 16 bytes a node: red, red of the next node along green, the same of green and of blue, two zeros. So
// 32 bytes from a node on hold it, its neighbours along green and along red, and the one along both; a pixel reads
// these, and the same one node on along blue. Weights along green and blue count 1/32767, so that each of them, 1
// included, fits a signed 16-bit lane; the four of a pixel sum to 32767. Red is blended last, in floating point.
struct FixedTable {
  const std::int16_t* entries;  // aligned to 64 bytes
  int nodes;                    // on an axis
  float scale;                  // from a weighted sum of entries to codes
  float middle;                 // code of entry 0, and the half code of rounding
};

constexpr int kFixedEntries = 8;
constexpr int kFixedOne = 32767;
constexpr int kFixedMaxNodes = 181;  // the number of a node in a plane must fit a signed 16-bit lane

// Four numbers a node: red, green, blue, zero.
template <typename T>
struct WideTable {
  const T* entries;  // aligned to 64 bytes
  int nodes;
};

// Calls for what a chunk two on will read and the next will write: without it a picture beyond the caches takes two
// thirds longer. Addresses past the ends are harmless.
static inline void prefetch(const void* read, const void* written) {
  __builtin_prefetch(read);
  __builtin_prefetch(written, 1);
}

// `count` pixels of three interleaved codes; `out` is memory of its own.
using FixedRun = void(const FixedTable&, const std::uint8_t* in, std::uint8_t* out, std::size_t count);
FixedRun fixed_run_avx2, fixed_run_avx512;

template <typename Code, typename T>
using WideRun = void(const WideTable<T>&, const Code* in, Code* out, std::size_t count);
WideRun<std::uint8_t, float> wide_run_portable, wide_run_avx2;
WideRun<std::uint16_t, float> wide_run_portable, wide_run_avx2;
WideRun<std::uint8_t, double> wide_run_portable;
WideRun<std::uint16_t, double> wide_run_portable;

}  // namespace lutra
