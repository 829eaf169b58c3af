// The loops of the deformable convolution with AVX-512.
#include "deform/deform_vectors.h"

const lutra::DeformLoops<float> lutra::kDeformAvx512 = lutra::kLoops<float>;
const lutra::DeformLoops<lutra::Bfloat16> lutra::kDeformAvx512Bf16 = lutra::kLoops<lutra::Bfloat16>;
