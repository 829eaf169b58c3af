// Resampling with AVX2.
#include "resample/resample_vectors.h"

void lutra::resample_band_avx2(const ResampleJob& job, std::size_t first, std::size_t last, float* room) {
  resample_band(job, first, last, room);
}
