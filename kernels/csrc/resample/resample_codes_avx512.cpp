// Resampling of codes with AVX-512.
#include "resample/resample_codes_vectors.h"

void lutra::resample_codes_band_avx512(const ResampleCodesJob& job, std::size_t first, std::size_t last, float* room) {
  resample_codes_band(job, first, last, room);
}
