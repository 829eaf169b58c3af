// Table super-resolution with AVX2: the gather of eclut_vectors.h.
#include "eclut/eclut_vectors.h"

void lutra::eclut_band_avx2(const EclutJob& job, int first, int last) { any_band(job, first, last); }
