// Which loops of LM-LIIF's render perceptron this processor runs, and on how many threads.
#include "modulated_mlp/modulated_mlp_cpu.h"

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kSamplesWorthAThread = 1 << 11;

MlpBand* band_of([[maybe_unused]] MlpPath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == MlpPath::avx512 && has_avx512()) return modulated_mlp_band_avx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != MlpPath::portable && has_avx2()) return modulated_mlp_band_avx2;
#endif
  return modulated_mlp_band_portable;
}

}  // namespace

void modulated_mlp(const MlpJob& job, int threads, MlpPath path) {
  if (job.rows.count <= 0 || job.cols.count <= 0) return;
  MlpBand* const band = band_of(path);
  const std::size_t worth = 1 + std::size_t(job.rows.count) * job.cols.count / kSamplesWorthAThread;
  const int most = worth < std::size_t(threads) ? int(worth) : threads;
  in_bands(std::size_t(job.rows.count), most,
           [&](std::size_t first, std::size_t last) { band(job, int(first), int(last)); });
}

}  // namespace lutra
