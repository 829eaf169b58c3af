// A NAF block with AVX2.
#include "naf_block/naf_block_vectors.h"

const lutra::NafLoops lutra::kNafAvx2 = lutra::kLoops;
