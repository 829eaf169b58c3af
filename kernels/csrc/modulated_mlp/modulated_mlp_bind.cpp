// LM-LIIF's render perceptron as Python sees it: plain memory, shapes and types checked here once more than by
// kernels.ops. A bfloat16 comes as int16.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "modulated_mlp/modulated_mlp_cpu.h"

namespace nb = nanobind;

namespace {

template <typename T>
using Modulations = nb::ndarray<const T, nb::shape<-1, -1, lutra::kModulations>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Planes = nb::ndarray<T, nb::shape<lutra::kColours, -1, -1>, nb::c_contig, nb::device::cpu>;
using Floors = nb::ndarray<const std::int64_t, nb::shape<-1>, nb::c_contig, nb::device::cpu>;
using Parts = nb::ndarray<const float, nb::shape<-1>, nb::c_contig, nb::device::cpu>;
using Packed = nb::ndarray<const float, nb::shape<lutra::kMlpWeights>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kLongestSide = 1 << 30;  // rows, columns and pixels are counted in 32 bits

lutra::MlpPath path_of(const std::string& name) {
  if (name == "auto" || name == "avx512") return lutra::MlpPath::avx512;
  if (name == "avx2") return lutra::MlpPath::avx2;
  if (name == "portable") return lutra::MlpPath::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512, avx2 or portable");
}

lutra::MlpAxis axis(const Floors& floor, const Parts& part, std::size_t count) {
  if (floor.shape(0) != count || part.shape(0) != count) throw std::invalid_argument("out is not as long as its axes");
  return {floor.data(), part.data(), int(count)};
}

template <typename T>
void modulated_mlp(Modulations<T> modulations, Planes<const float> window, Floors row_floor, Parts row_part,
                   Floors col_floor, Parts col_part, Packed weights, Planes<float> out, int threads, const std::string& path) {
  const std::size_t height = modulations.shape(0), width = modulations.shape(1);
  if (window.shape(1) != height || window.shape(2) != width) {
    throw std::invalid_argument("window and modulations are not of one size");
  }
  if (height == 0 || width == 0) throw std::invalid_argument("the window holds no pixel");
  for (const std::size_t side : {height, width, out.shape(1), out.shape(2)}) {
    if (side > kLongestSide) throw std::invalid_argument("a side is too long");
  }
  const lutra::MlpJob job{modulations.data(),
                          sizeof(T) == 2,
                          window.data(),
                          int(height),
                          int(width),
                          axis(row_floor, row_part, out.shape(1)),
                          axis(col_floor, col_part, out.shape(2)),
                          reinterpret_cast<const lutra::MlpWeights*>(weights.data()),
                          out.data()};
  const lutra::MlpPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::modulated_mlp(job, threads, chosen);
}

template <typename T>
void bind(nb::module_& module) {
  using namespace nb::literals;
  const auto plain = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("modulated_mlp", &modulated_mlp<T>, plain("modulations"), plain("window"), plain("row_floor"),
             plain("row_part"), plain("col_floor"), plain("col_part"), plain("weights"), plain("out"), "threads"_a,
             "path"_a);
}

}  // namespace

void bind_modulated_mlp(nb::module_& module) {
  bind<float>(module);
  bind<std::int16_t>(module);
}
