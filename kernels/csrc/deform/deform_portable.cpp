// The loops of the deformable convolution for any processor.
#include "deform/deform_vectors.h"

const lutra::DeformLoops<float> lutra::kDeformPortable = lutra::kLoops<float>;
const lutra::DeformLoops<lutra::Bfloat16> lutra::kDeformPortableBf16 = lutra::kLoops<lutra::Bfloat16>;
