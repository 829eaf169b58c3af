// What the sets of instructions share: tables as they read them, and one function each for a run of pixels.
//
// Plain data alone, since files of several sets of instructions include it (CMakeLists.txt says why).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {

// 16-bit entries, 32 bytes a node: red, red of the next node along red, the same of green and of blue, two zeros; then
// these eight of the next node along green. A pixel reads two of them: of its cell and of the next along blue. Weights
// count 1/32767, so that each of them, 1 included, fits a signed 16-bit lane; a pixel's eight weights sum to 32767.
struct FixedTable {
  const std::int16_t* entries;  // aligned to 64 bytes
  int nodes;                    // on an axis
  int bias;                     // the middle of the table and the half code, in the unit of the sum
  int shift;                    // from the sum to the code
};

constexpr int kFixedEntries = 16;
constexpr int kFixedOne = 32767;
constexpr int kFixedMaxNodes = 181;  // the number of a node in a plane must fit a signed 16-bit lane

// Four numbers a node: red, green, blue, zero.
template <typename T>
struct WideTable {
  const T* entries;  // aligned to 64 bytes
  int nodes;
};

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
