// A NAF block for any processor.
#include "naf_block/naf_block_vectors.h"

const lutra::NafLoops lutra::kNafPortable = lutra::kLoops;
