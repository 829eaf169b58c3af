// Which loops of the resampling of codes this processor runs, on how many threads, and their memory.
#include "resample/resample_codes_cpu.h"

#include <algorithm>
#include <vector>

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kReadsWorthAThread = 1 << 21;  // a third of a millisecond of work; a thread takes 0.03

ResampleCodesBand* band_of([[maybe_unused]] ResamplePath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == ResamplePath::avx512 && has_avx512()) return resample_codes_band_avx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != ResamplePath::portable && has_avx2()) return resample_codes_band_avx2;
#endif
  return resample_codes_band_portable;
}

}  // namespace

void resample_codes(const ResampleCodesJob& job, int threads, ResamplePath path) {
  const std::size_t rows = job.rows.samples, row = job.cols.pixels * job.channels;
  if (rows == 0 || job.cols.samples == 0 || job.channels == 0) return;
  ResampleCodesBand* const band = band_of(path);
  const std::size_t worth = 1 + rows * job.rows.taps * row / kReadsWorthAThread;
  in_bands(rows, int(std::min(worth, std::size_t(std::max(1, threads)))), [&](std::size_t first, std::size_t last) {
    std::vector<float> room(row + kResampleBeyond);
    band(job, first, last, room.data());
  });
}

}  // namespace lutra
