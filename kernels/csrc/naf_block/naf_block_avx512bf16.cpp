// A NAF block of bfloat16 with AVX-512 BF16, whose products take numbers below its normal range as zero.
#include "naf_block/naf_block_vectors.h"

const lutra::NafLoops lutra::kNafAvx512Bf16 = lutra::kLoops;
