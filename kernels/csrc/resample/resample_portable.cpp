// Resampling for any processor.
#include "resample/resample_vectors.h"

void lutra::resample_band_portable(const ResampleJob& job, std::size_t first, std::size_t last, float* room) {
  resample_band(job, first, last, room);
}
