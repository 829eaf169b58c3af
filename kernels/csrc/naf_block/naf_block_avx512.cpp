// A NAF block with AVX-512.
#include "naf_block/naf_block_vectors.h"

const lutra::NafLoops lutra::kNafAvx512 = lutra::kLoops;
