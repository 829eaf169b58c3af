// The deformable convolution on the processor, piece by piece: threads, and the choice of an instruction set.
#include "deform/deform_cpu.h"

#include <algorithm>

#include "deform/deform_choice.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr int kFewestChannels = 16;  // of a thread that scatters: 64 bytes

}  // namespace

template <typename T>
void deform_columns(const DeformJob<T>& job, T* columns, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  in_bands(job.last - job.first, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    loops.columns(job, job.first + first, job.first + last, columns);
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
void deform_scatter(const DeformJob<T>& job, const float* by_columns, float* by_x, int threads, DeformPath path) {
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
template void deform_scatter<Bfloat16>(const DeformJob<Bfloat16>&, const float*, float*, int, DeformPath);

}  // namespace lutra
