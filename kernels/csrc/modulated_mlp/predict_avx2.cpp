// The training of LM-LIIF's render perceptron with AVX2.
#include "modulated_mlp/predict_vectors.h"

const lutra::PredictLoops lutra::kPredictAvx2 = lutra::kLoops;
