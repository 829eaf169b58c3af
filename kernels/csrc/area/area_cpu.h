// A picture made smaller by means over areas, on the processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lutra {

struct Extent {
  std::size_t height, width;
};

// `in` (height, width, channels) codes, `out` (height, width, channels) means as shares of the largest code. Output cell
// i of m takes input samples floor(i n / m) to ceil((i + 1) n / m) of n. Both extents hold at least one sample.
// Rows summed at once must stay below 2^16.
void area_mean(const std::uint8_t* in, Extent from, float* out, Extent to, std::size_t channels, int threads);
void area_mean(const std::uint16_t* in, Extent from, float* out, Extent to, std::size_t channels, int threads);

}  // namespace lutra
