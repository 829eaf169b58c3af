#include "shared/cpu_features.h"

namespace lutra {

bool has_avx2() {
#ifdef LUTRA_HAS_AVX2
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return has;
#else
  return false;
#endif
}

bool has_avx512() {
#ifdef LUTRA_HAS_AVX512
  static const bool has = has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
  return has;
#else
  return false;
#endif
}

bool has_avx512bf16() {
#ifdef LUTRA_HAS_AVX512BF16
  static const bool has = has_avx512() && __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

}  // namespace lutra
