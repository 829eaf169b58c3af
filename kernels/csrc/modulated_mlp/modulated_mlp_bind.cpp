// LM-LIIF's render perceptron, and its training, as Python sees them: plain memory, shapes and types checked here once more than by
// kernels.ops. A bfloat16 comes as int16.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "modulated_mlp/modulated_mlp_cpu.h"
#include "modulated_mlp/predict_cpu.h"

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
void modulated_mlp(Modulations<T> modulations, Planes<const float> base, Floors row_floor, Parts row_part,
                   Floors col_floor, Parts col_part, Packed weights, Planes<float> out, int threads, const std::string& path) {
  const std::size_t height = modulations.shape(0), width = modulations.shape(1);
  if (base.shape(1) != out.shape(1) || base.shape(2) != out.shape(2)) {
    throw std::invalid_argument("base and out are not of one size");
  }
  if (height == 0 || width == 0) throw std::invalid_argument("there are modulations of no pixel");
  for (const std::size_t side : {height, width, out.shape(1), out.shape(2)}) {
    if (side > kLongestSide) throw std::invalid_argument("a side is too long");
  }
  const lutra::MlpJob job{modulations.data(),
                          sizeof(T) == 2,
                          int(height),
                          int(width),
                          base.data(),
                          axis(row_floor, row_part, out.shape(1)),
                          axis(col_floor, col_part, out.shape(2)),
                          reinterpret_cast<const lutra::MlpWeights*>(weights.data()),
                          out.data()};
  const lutra::MlpPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::modulated_mlp(job, threads, chosen);
}

// ---- Training ------------------------------------------------------------------------------------------------------

template <typename T, int kChannels>
using Channels = nb::ndarray<T, nb::shape<kChannels, -1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Predictions = nb::ndarray<T, nb::shape<lutra::kColours, -1, -1, -1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using PackedLayers = nb::ndarray<T, nb::shape<lutra::kPredictLayers>, nb::c_contig, nb::device::cpu>;

using Modulating = Channels<const float, lutra::kLatent>;
using Here = Channels<const float, lutra::kUnits>;
using Way = Channels<const float, -1>;

lutra::PredictJob predict_job(const Modulating& modulations, const Here& here, const Way& rows, const Way& cols,
                              const PackedLayers<const float>& layers) {
  const std::size_t pixels = modulations.shape(1);
  if (here.shape(1) != pixels || rows.shape(1) != pixels || cols.shape(1) != pixels) {
    throw std::invalid_argument("the arrays are not of as many pixels");
  }
  return {modulations.data(), here.data(), rows.data(), cols.data(), pixels, rows.shape(0), cols.shape(0),
          reinterpret_cast<const lutra::PredictLayers<float>*>(layers.data())};
}

template <typename T>
void check_predictions(const lutra::PredictJob& job, const Predictions<T>& given) {
  if (given.shape(1) != job.row_slots || given.shape(2) != job.col_slots || given.shape(3) != job.pixels) {
    throw std::invalid_argument("the predictions are not as many as the slots of the pixels");
  }
}

void predict(Modulating modulations, Here here, Way rows, Way cols, PackedLayers<const float> layers,
             Predictions<float> out, int threads, const std::string& path) {
  const lutra::PredictJob job = predict_job(modulations, here, rows, cols, layers);
  check_predictions(job, out);
  const lutra::MlpPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::predict(job, out.data(), threads, chosen);
}

void predict_backward(Predictions<const float> grad, Modulating modulations, Here here, Way rows, Way cols,
                      PackedLayers<const float> layers, Channels<float, lutra::kLatent> by_modulations,
                      Channels<float, lutra::kUnits> by_here, PackedLayers<float> by_layers, int threads,
                      const std::string& path) {
  const lutra::PredictJob job = predict_job(modulations, here, rows, cols, layers);
  check_predictions(job, grad);
  if (by_modulations.shape(1) != job.pixels || by_here.shape(1) != job.pixels) {
    throw std::invalid_argument("the gradients are not of as many pixels");
  }
  const lutra::PredictSlopes slopes{grad.data(), by_modulations.data(), by_here.data(),
                                    reinterpret_cast<lutra::PredictLayers<float>*>(by_layers.data())};
  const lutra::MlpPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::predict_backward(job, slopes, threads, chosen);
}

void bind_training(nb::module_& module) {
  using namespace nb::literals;
  const auto plain = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("modulated_mlp_predict", &predict, plain("modulations"), plain("here"), plain("rows"), plain("cols"),
             plain("layers"), plain("out"), "threads"_a, "path"_a);
  module.def("modulated_mlp_predict_backward", &predict_backward, plain("grad"), plain("modulations"), plain("here"),
             plain("rows"), plain("cols"), plain("layers"), plain("by_modulations"), plain("by_here"),
             plain("by_layers"), "threads"_a, "path"_a);
}

// ---- The module ----------------------------------------------------------------------------------------------------

template <typename T>
void bind(nb::module_& module) {
  using namespace nb::literals;
  const auto plain = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("modulated_mlp", &modulated_mlp<T>, plain("modulations"), plain("base"), plain("row_floor"),
             plain("row_part"), plain("col_floor"), plain("col_part"), plain("weights"), plain("out"), "threads"_a,
             "path"_a);
}

}  // namespace

void bind_modulated_mlp(nb::module_& module) {
  bind<float>(module);
  bind<std::int16_t>(module);
  bind_training(module);
}
