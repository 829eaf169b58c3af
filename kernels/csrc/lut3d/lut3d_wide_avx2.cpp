#include "lut3d/lut3d_wide.h"

namespace lutra {

void wide_run_avx2(const WideTable<float>& table, const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  wide_run(table, in, out, count);
}

void wide_run_avx2(const WideTable<float>& table, const std::uint16_t* in, std::uint16_t* out, std::size_t count) {
  wide_run(table, in, out, count);
}

}  // namespace lutra
