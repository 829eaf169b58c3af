// Matrix products of float32 with AVX-512.
#include "deform/product_vectors.h"

namespace lutra {
namespace {

struct Floats {
  static inline __m512 add(__m512 sum, __m512i a, __m512i b) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
  }
};

}  // namespace

void multiply_avx512(const Product& product) { multiply<Floats>(product); }

}  // namespace lutra
