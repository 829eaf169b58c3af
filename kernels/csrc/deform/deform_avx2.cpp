// The loops of the deformable convolution with AVX2.
#include "deform/deform_vectors.h"

const lutra::DeformLoops<float> lutra::kDeformAvx2 = lutra::kLoops<float>;
const lutra::DeformLoops<lutra::Bfloat16> lutra::kDeformAvx2Bf16 = lutra::kLoops<lutra::Bfloat16>;
