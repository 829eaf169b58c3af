// Resampling with AVX-512.
#include "resample/resample_vectors.h"

void lutra::resample_band_avx512(const ResampleJob& job, std::size_t first, std::size_t last, float* room) {
  resample_band(job, first, last, room);
}
