// The training of LM-LIIF's render perceptron for any processor.
#include "modulated_mlp/predict_vectors.h"

const lutra::PredictLoops lutra::kPredictPortable = lutra::kLoops;
