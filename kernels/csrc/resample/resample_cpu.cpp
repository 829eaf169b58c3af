// Which loops of the resampling this processor runs, on how many threads, and their memory.
#include "resample/resample_cpu.h"

#include <algorithm>
#include <vector>

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kSamplesWorthAThread = 1 << 16;

ResampleBand* band_of([[maybe_unused]] ResamplePath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == ResamplePath::avx512 && has_avx512()) return resample_band_avx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != ResamplePath::portable && has_avx2()) return resample_band_avx2;
#endif
  return resample_band_portable;
}

// The most pixels that the samples of a strip read.
std::size_t widest_strip(const ResampleAxis& cols) {
  std::size_t widest = 0;
  for (std::size_t at = 0; at < cols.samples; at += kResampleStrip) {
    const std::size_t last = std::min(at + kResampleStrip, cols.samples) - 1;
    widest = std::max(widest, std::size_t(cols.first[last] - cols.first[at]) + cols.taps);
  }
  return widest;
}

}  // namespace

void resample(const ResampleJob& job, int threads, ResamplePath path) {
  const std::size_t rows = job.count * job.rows.samples;
  if (rows == 0 || job.cols.samples == 0) return;
  ResampleBand* const band = band_of(path);
  const std::size_t worth = 1 + rows * job.cols.samples / kSamplesWorthAThread, pixels = widest_strip(job.cols);
  in_bands(rows, int(std::min(worth, std::size_t(std::max(1, threads)))), [&](std::size_t first, std::size_t last) {
    std::vector<ResampleLanes> room(2 * (pixels + kMostLanes));
    band(job, first, last, room.data()->row);
  });
}

}  // namespace lutra
