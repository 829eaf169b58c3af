// Planes resampled along one axis by runs of weighted pixels on a CUDA device, in float32.
//
// A launch does one axis: planes are (outer, pixels, inner), of which the middle one becomes samples. A thread owns one
// sample of an outer one and adds up its taps; neighbouring threads read what lies side by side.
#include "shared/arithmetic.h"

namespace {

constexpr int kThreads = 256;

}  // namespace

// Blocks on x cover samples and inner ones, blocks on y the outer ones in turn.
extern "C" __global__ void __launch_bounds__(kThreads)
    resample_axis(const float* planes, const long long* first, const float* weight, float* out, int outer, int pixels,
                  int samples, int taps, int inner) {
  const long long at = (long long)blockIdx.x * kThreads + threadIdx.x;
  if (at >= (long long)samples * inner) return;
  const long long sample = at / inner, within = at % inner;
  const float* weights = weight + sample * taps;
  for (long long n = blockIdx.y; n < outer; n += gridDim.y) {
    const float* from = planes + (n * pixels + first[sample]) * inner + within;
    float sum = 0.0f;
    for (long long k = 0; k < taps; ++k) sum += weights[k] * from[k * inner];
    out[n * samples * inner + at] = sum;
  }
}
