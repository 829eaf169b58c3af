// A NAF block as Python sees it: plain memory, shapes and types checked here once more than by kernels.ops. A bfloat16
// comes as int16, a layer as its numbers in a row.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "naf_block/naf_block_cpu.h"

namespace nb = nanobind;

namespace {

template <typename T>
using Pixels = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Codes = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Layer = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

lutra::NafPath path_of(const std::string& name) {
  if (name == "auto" || name == "avx512bf16") return lutra::NafPath::avx512bf16;
  if (name == "avx512") return lutra::NafPath::avx512;
  if (name == "avx2") return lutra::NafPath::avx2;
  if (name == "portable") return lutra::NafPath::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512bf16, avx512, avx2 or portable");
}

template <typename T>
lutra::NafSize size_of(const Pixels<const T>& x, const Codes<T>& scale, const Codes<T>& shift, const Pixels<T>& out) {
  const lutra::NafSize size{x.shape(0), x.shape(1), x.shape(2), x.shape(3)};
  for (int axis = 0; axis < 4; ++axis) {
    if (x.shape(axis) == 0) throw std::invalid_argument("x has no pixel");
    if (x.shape(axis) != out.shape(axis)) throw std::invalid_argument("x and out are not of one size");
  }
  if (size.channels % lutra::kNafLanes != 0) throw std::invalid_argument("the channels are no multiple of 16");
  for (const Codes<T>* code : {&scale, &shift}) {
    if (code->shape(0) != size.count || code->shape(1) != size.channels) {
      throw std::invalid_argument("scale and shift are not those of x");
    }
  }
  return size;
}

// The layers by their place in `NafLayers`, of as many numbers as the channels have it.
template <typename T, typename Own>
lutra::NafLayers<Own> layers_of(const std::vector<Layer<T>>& given, std::size_t channels) {
  const std::size_t c = channels, square = c * c;
  const std::size_t wanted[lutra::kNafLayers] = {c, c, 2 * square, 2 * c, 18 * c, 2 * c, square, c, c,
                                                 c, c, 2 * square, 2 * c, square, c, c};
  if (given.size() != lutra::kNafLayers) throw std::invalid_argument("there are not 16 layers");
  const Own* at[lutra::kNafLayers];
  for (int i = 0; i < lutra::kNafLayers; ++i) {
    if (given[i].shape(0) != wanted[i]) throw std::invalid_argument("a layer is not as large as the channels have it");
    at[i] = reinterpret_cast<const Own*>(given[i].data());
  }
  return {at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8],
          at[9], at[10], at[11], at[12], at[13], at[14], at[15]};
}

template <typename T>
void naf_block(Pixels<const T> x, Codes<T> scale, Codes<T> shift, std::vector<Layer<T>> layers, Pixels<T> out,
               int threads, const std::string& path) {
  using Own = std::conditional_t<sizeof(T) == 2, lutra::Bfloat16, float>;
  const auto own = [](const T* numbers) { return reinterpret_cast<const Own*>(numbers); };
  const lutra::NafSize size = size_of<T>(x, scale, shift, out);
  const lutra::NafCall<Own> call{size, own(x.data()), own(scale.data()), own(shift.data()),
                                 layers_of<T, Own>(layers, size.channels), reinterpret_cast<Own*>(out.data())};
  const lutra::NafPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::naf_block(call, threads, chosen);
}

template <typename T>
void bind(nb::module_& module) {
  using namespace nb::literals;
  const auto plain = [](const char* name) { return nb::arg(name).noconvert(); };
  module.def("naf_block", &naf_block<T>, plain("x"), plain("scale"), plain("shift"), plain("layers"), plain("out"),
             "threads"_a, "path"_a);
}

}  // namespace

void bind_naf_block(nb::module_& module) {
  bind<float>(module);
  bind<std::int16_t>(module);
}
