// Table super-resolution with AVX-512 (BW, VL).
#include "eclut_vectors.h"

void lutra::eclut_band_avx512(const EclutJob& job, int first, int last) {
  if (job.scale == 2) return band<2>(job, first, last);
  if (job.scale == 3) return band<3>(job, first, last);
  return band<4>(job, first, last);
}
