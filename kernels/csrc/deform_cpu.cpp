// The deformable convolution on the processor: threads, and the choice of an instruction set.
#include "deform_cpu.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "cpu_features.h"
#include "parallel.h"
#include "product_cpu.h"

namespace lutra {
namespace {

constexpr std::size_t kValuesWorthAThread = 1 << 17;
constexpr std::size_t kColumnBytes = 512 << 10;  // half of a common second-level cache: the picture's rows need the rest
constexpr int kFewestChannels = 16;  // of a thread that scatters: 64 bytes

template <typename T>
const DeformLoops<T>& loops_of([[maybe_unused]] DeformPath path) {
  constexpr bool whole = std::is_same_v<T, float>;
  const auto choose = [](const auto& of_floats, const auto& of_halves) -> const DeformLoops<T>& {
    if constexpr (whole) return of_floats;
    else return of_halves;
  };
#ifdef LUTRA_HAS_AVX512
  if (path == DeformPath::avx512 && has_avx512()) return choose(kDeformAvx512, kDeformAvx512Bf16);
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != DeformPath::portable && has_avx2()) return choose(kDeformAvx2, kDeformAvx2Bf16);
#endif
  return choose(kDeformPortable, kDeformPortableBf16);
}

template <typename T>
int worthwhile(const DeformJob<T>& job, int threads) {
  const std::size_t values = (job.last - job.first) * 9 * std::size_t(job.channels);
  return int(std::min(1 + values / kValuesWorthAThread, std::size_t(std::max(threads, 1))));
}

}  // namespace

template <typename T>
void deform_columns(const DeformJob<T>& job, T* columns, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  in_bands(job.last - job.first, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    loops.columns(job, job.first + first, job.first + last, columns);
  });
}

void deform_convolve(const DeformJob<float>& job, const float* taps, float* out, int outputs, int threads,
                     DeformPath path) {
  const DeformLoops<float>& loops = loops_of<float>(path);
  const std::size_t column = 9 * std::size_t(job.channels), width = std::size_t(outputs);
  const std::size_t most = std::max<std::size_t>(16, kColumnBytes / (column * sizeof(float)));
  in_bands(job.last - job.first, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    const std::size_t size = std::min(most, last - first);
    const auto columns = std::make_unique_for_overwrite<float[]>(size * column);
    for (std::size_t at = first; at < last; at += size) {
      DeformJob<float> own = job;
      own.first = job.first + at;
      own.last = job.first + std::min(at + size, last);
      loops.columns(own, own.first, own.last, columns.get());
      const auto down = std::ptrdiff_t(column), across = std::ptrdiff_t(width);
      multiply({columns.get(), down, 1, taps, across, out + own.first * width, across, own.last - own.first, width,
                column, false},
               1);
    }
  });
}

template <typename T>
void deform_gradients(const DeformJob<T>& job, const DeformGradients<T>& wanted, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  in_bands(job.last - job.first, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    loops.gradients(job, job.first + first, job.first + last, wanted);
  });
}

// Every thread walks all the pixels with channels of its own: no addition is lost, and their order is that of the pixels.
template <typename T>
void deform_scatter(const DeformJob<T>& job, const T* by_columns, float* by_x, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  const std::size_t channels = std::size_t(job.channels), groups = (channels + kFewestChannels - 1) / kFewestChannels;
  in_bands(groups, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    const std::size_t end = std::min(last * kFewestChannels, channels);
    loops.scatter(job, int(first * kFewestChannels), int(end), by_columns, by_x);
  });
}

template void deform_columns<float>(const DeformJob<float>&, float*, int, DeformPath);
template void deform_columns<Bfloat16>(const DeformJob<Bfloat16>&, Bfloat16*, int, DeformPath);
template void deform_gradients<float>(const DeformJob<float>&, const DeformGradients<float>&, int, DeformPath);
template void deform_gradients<Bfloat16>(const DeformJob<Bfloat16>&, const DeformGradients<Bfloat16>&, int, DeformPath);
template void deform_scatter<float>(const DeformJob<float>&, const float*, float*, int, DeformPath);
template void deform_scatter<Bfloat16>(const DeformJob<Bfloat16>&, const Bfloat16*, float*, int, DeformPath);

}  // namespace lutra
