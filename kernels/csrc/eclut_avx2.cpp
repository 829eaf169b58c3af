// Table super-resolution with AVX2.
#include "eclut_vectors.h"

void lutra::eclut_band_avx2(const EclutJob& job, int first, int last) {
  if (job.scale == 2) return band<2>(job, first, last);
  if (job.scale == 3) return band<3>(job, first, last);
  return band<4>(job, first, last);
}
