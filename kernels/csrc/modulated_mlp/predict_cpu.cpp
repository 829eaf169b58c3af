// Which loops of the perceptron's training this processor runs, on how many threads, and the sums of their parts.
#include "modulated_mlp/predict_cpu.h"

#include <algorithm>
#include <memory>

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kPixels = 16;  // that are not divided: the lanes of the widest vectors
constexpr std::size_t kPredictionsWorthAThread = 1 << 12;
constexpr std::size_t kLeastGroups = 16, kMostParts = 16;  // groups of kPixels in a part, where there are many; parts

const PredictLoops& loops_of([[maybe_unused]] MlpPath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == MlpPath::avx512 && has_avx512()) return kPredictAvx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != MlpPath::portable && has_avx2()) return kPredictAvx2;
#endif
  return kPredictPortable;
}

int worthwhile(const PredictJob& job, int threads) {
  const std::size_t worth = 1 + job.pixels * job.row_slots * job.col_slots / kPredictionsWorthAThread;
  return int(std::min(worth, std::size_t(std::max(threads, 1))));
}

std::size_t groups_of(const PredictJob& job) { return (job.pixels + kPixels - 1) / kPixels; }

}  // namespace

void predict(const PredictJob& job, float* out, int threads, MlpPath path) {
  const PredictLoops& loops = loops_of(path);
  in_bands(groups_of(job), worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    loops.forward(job, out, first * kPixels, std::min(last * kPixels, job.pixels));
  });
}

void predict_backward(const PredictJob& job, const PredictSlopes& slopes, int threads, MlpPath path) {
  const PredictLoops& loops = loops_of(path);
  const std::size_t groups = groups_of(job), parts = std::clamp<std::size_t>(groups / kLeastGroups, 1, kMostParts);
  const auto sums = std::make_unique<PredictLayers<float>[]>(parts);
  in_bands(parts, worthwhile(job, threads), [&](std::size_t from, std::size_t to) {
    for (std::size_t part = from; part < to; ++part) {
      const std::size_t first = groups * part / parts * kPixels, last = groups * (part + 1) / parts * kPixels;
      loops.backward(job, slopes, first, std::min(last, job.pixels), sums[part]);
    }
  });
  float* const total = reinterpret_cast<float*>(slopes.layers);
  const float* const added = reinterpret_cast<const float*>(sums.get());
  for (int i = 0; i < kPredictLayers; ++i) {
    total[i] = 0.0f;
    for (std::size_t part = 0; part < parts; ++part) total[i] += added[part * kPredictLayers + i];
  }
}

}  // namespace lutra
