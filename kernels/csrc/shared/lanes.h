// Vectors of the compiler's, as wide as the file that includes this may use.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define LUTRA_LOOP __attribute__((always_inline)) inline
#define LUTRA_UNROLL _Pragma("GCC unroll 32")

namespace lutra {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));

// Rounded once where the instructions have it.
LUTRA_LOOP Vector multiply_add(const Vector& a, const Vector& b, const Vector& sum) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, sum);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, sum);
#else
  return a * b + sum;
#endif
}

LUTRA_LOOP Vector everywhere(float value) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(value);
#elif defined(__AVX2__)
  return _mm256_set1_ps(value);
#else
  return Vector{value, value, value, value};
#endif
}

// 0 where negative; NaN stays NaN (the instructions' maximum gives the second of two where one is NaN).
LUTRA_LOOP Vector rectified(const Vector& v) {
#if defined(__AVX512F__)
  return _mm512_max_ps(_mm512_setzero_ps(), v);
#elif defined(__AVX2__)
  return _mm256_max_ps(_mm256_setzero_ps(), v);
#else
  return v < 0.0f ? Vector{} : v;
#endif
}

LUTRA_LOOP Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

LUTRA_LOOP void store(float* to, const Vector& v) { std::memcpy(to, &v, sizeof v); }

}  // namespace
}  // namespace lutra
