// The training of LM-LIIF's render perceptron with AVX-512.
#include "modulated_mlp/predict_vectors.h"

const lutra::PredictLoops lutra::kPredictAvx512 = lutra::kLoops;
