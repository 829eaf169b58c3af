// LM-LIIF's render perceptron with AVX2.
#include "modulated_mlp/modulated_mlp_vectors.h"

void lutra::modulated_mlp_band_avx2(const MlpJob& job, int first, int last) { render(job, first, last); }
