// Resampling as Python sees it: plain memory, shapes, types and places checked here once more than by kernels.ops.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "resample/resample_codes_cpu.h"
#include "resample/resample_cpu.h"

namespace nb = nanobind;

namespace {

template <typename T>
using Planes = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using First = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weight = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

lutra::ResamplePath path_of(const std::string& name) {
  if (name == "auto" || name == "avx512") return lutra::ResamplePath::avx512;
  if (name == "avx2") return lutra::ResamplePath::avx2;
  if (name == "portable") return lutra::ResamplePath::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512, avx2 or portable");
}

lutra::ResampleAxis axis(const First& first, const Weight& weight, std::size_t pixels, std::size_t samples) {
  const std::size_t taps = weight.shape(1);
  if (first.shape(0) != samples || weight.shape(0) != samples) {
    throw std::invalid_argument("out is not as long as its axes");
  }
  if (taps < 1 || taps > pixels) throw std::invalid_argument("an axis has no tap, or more than pixels");
  const std::int64_t* const begin = first.data();
  const bool fits = samples == 0 || (begin[0] >= 0 && begin[samples - 1] <= std::int64_t(pixels - taps));
  if (!fits || !std::is_sorted(begin, begin + samples)) {
    throw std::invalid_argument("taps lie outside the planes, or do not ascend");
  }
  return {begin, weight.data(), samples, taps, pixels};
}

void resample(Planes<const float> planes, First row_first, Weight row_weight, First col_first, Weight col_weight,
              Planes<float> out, int threads, const std::string& path) {
  if (planes.shape(0) != out.shape(0)) throw std::invalid_argument("planes and out are not as many");
  const lutra::ResampleJob job{planes.data(), planes.shape(0),
                               axis(row_first, row_weight, planes.shape(1), out.shape(1)),
                               axis(col_first, col_weight, planes.shape(2), out.shape(2)), out.data()};
  const lutra::ResamplePath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::resample(job, threads, chosen);
}

template <typename Code>
void resample_codes(Planes<const Code> picture, First row_first, Weight row_weight, First col_first, Weight col_weight,
                    Planes<float> out, int threads, const std::string& path) {
  if (picture.shape(2) != out.shape(0)) throw std::invalid_argument("picture and out differ in their channels");
  const lutra::ResampleCodesJob job{picture.data(), sizeof(Code) == 2, picture.shape(2),
                                    axis(row_first, row_weight, picture.shape(0), out.shape(1)),
                                    axis(col_first, col_weight, picture.shape(1), out.shape(2)), out.data()};
  const lutra::ResamplePath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::resample_codes(job, threads, chosen);
}

}  // namespace

void bind_resample(nb::module_& module) {
  using namespace nb::literals;
  const auto plain = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("resample", &resample, plain("planes"), plain("row_first"), plain("row_weight"), plain("col_first"),
             plain("col_weight"), plain("out"), "threads"_a, "path"_a);
  const auto codes = [&](auto function) {
    module.def("resample_codes", function, plain("picture"), plain("row_first"), plain("row_weight"),
               plain("col_first"), plain("col_weight"), plain("out"), "threads"_a, "path"_a);
  };
  codes(&resample_codes<std::uint8_t>);
  codes(&resample_codes<std::uint16_t>);
}
