// Which loops of the deformable convolution this processor runs, and how many threads a job is worth. For portable files
// only: see CMakeLists.txt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "shared/cpu_features.h"
#include "deform/deform_cpu.h"

namespace lutra {

constexpr std::size_t kValuesWorthAThread = 1 << 17;

template <typename T>
const DeformLoops<T>& loops_of([[maybe_unused]] DeformPath path) {
  const auto choose = [](const auto& of_floats, const auto& of_halves) -> const DeformLoops<T>& {
    if constexpr (std::is_same_v<T, float>) return of_floats;
    else return of_halves;
  };
#ifdef LUTRA_HAS_AVX512
  if (path == DeformPath::avx512 && has_avx512()) return choose(kDeformAvx512, kDeformAvx512Bf16);
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != DeformPath::portable && has_avx2()) return choose(kDeformAvx2, kDeformAvx2Bf16);
#endif
  return choose(kDeformPortable, kDeformPortableBf16);
}

template <typename T>
int worthwhile(const DeformJob<T>& job, int threads) {
  const std::size_t values = (job.last - job.first) * 9 * std::size_t(job.channels);
  return int(std::min(1 + values / kValuesWorthAThread, std::size_t(std::max(threads, 1))));
}

}  // namespace lutra
