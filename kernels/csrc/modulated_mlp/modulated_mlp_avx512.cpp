// LM-LIIF's render perceptron with AVX-512.
#include "modulated_mlp/modulated_mlp_vectors.h"

void lutra::modulated_mlp_band_avx512(const MlpJob& job, int first, int last) { render(job, first, last); }
