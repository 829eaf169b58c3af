// LM-LIIF's render perceptron for any processor.
#include "modulated_mlp/modulated_mlp_vectors.h"

void lutra::modulated_mlp_band_portable(const MlpJob& job, int first, int last) { render(job, first, last); }
