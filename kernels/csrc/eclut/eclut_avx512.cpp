// Table super-resolution with AVX-512 (BW, VL): the gather of eclut_vectors.h with its shorter permutations. Wider
// registers (each pixel handing out what it adds, rows woven by VBMI) were tried and gained nothing.
#include "eclut/eclut_vectors.h"

void lutra::eclut_band_avx512(const EclutJob& job, int first, int last) { any_band(job, first, last); }
