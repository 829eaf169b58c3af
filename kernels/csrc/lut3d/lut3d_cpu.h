// The look-up for serving, on the processor: codes in, codes out (8 or 16 bits), three interleaved colours a pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace lutra {

// Slowest first. `exact` is floating point with the best instructions there are; the others take 16-bit integers where
// the table and the depth allow it.
enum class Path { portable, exact, avx2, avx512 };

// `count` pixels through one table (3, nodes, nodes, nodes), into memory of their own. A path that this processor lacks,
// or that the table is too steep or too wide for, gives way to the next slower one.
void lut3d_apply(const std::uint8_t* in, std::uint8_t* out, std::size_t count, const float* lut, int nodes, int threads,
                 Path path);
void lut3d_apply(const std::uint16_t* in, std::uint16_t* out, std::size_t count, const float* lut, int nodes,
                 int threads, Path path);

// The smallest and the largest of at least one value; NaN is beyond infinity and is then one of the two.
std::pair<float, float> value_range(const float* values, std::size_t count);

// True where 16-bit integers serve this table.
bool is_tame(const float* lut, int nodes);

}  // namespace lutra
