// The look-up for training as Python sees it: arrays that torch lends, checked against each other, and no lock held.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <stdexcept>

#include <nanobind/stl/optional.h>

#include "lut3d_float/lut3d_float_cpu.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lutra {
namespace {

// Pictures (samples, 3, pixels) and tables (1 or samples, 3, D, D, D).
template <typename T>
using Colours = nb::ndarray<T, nb::shape<-1, 3, -1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Tables = nb::ndarray<T, nb::shape<-1, 3, -1, -1, -1>, nb::c_contig, nb::device::cpu>;

template <class A, class B>
void want_alike(const A& first, const B& second) {
  for (std::size_t axis = 0; axis < first.ndim(); ++axis) {
    if (first.shape(axis) != second.shape(axis)) throw std::invalid_argument("arrays differ in shape");
  }
}

template <typename T>
FloatExtent extent_of(const Colours<const T>& picture, const Tables<const T>& lut) {
  const std::size_t nodes = lut.shape(2);
  if (lut.shape(3) != nodes || lut.shape(4) != nodes || nodes < 2 || nodes > 1024) {
    throw std::invalid_argument("wanted a table of (3, D, D, D) with D from 2 to 1024");
  }
  if (lut.shape(0) != 1 && lut.shape(0) != picture.shape(0)) throw std::invalid_argument("wanted one table or one each");
  return {picture.shape(0), picture.shape(2), lut.shape(0) == 1, int(nodes)};
}

template <typename T>
void forward(const Colours<const T>& picture, const Tables<const T>& lut, const Colours<T>& out, int threads) {
  const FloatExtent extent = extent_of<T>(picture, lut);
  want_alike(picture, out);
  const nb::gil_scoped_release unlocked;
  lut3d_forward(extent, picture.data(), lut.data(), out.data(), threads);
}

template <typename T>
void backward(const Colours<const T>& grad, const Colours<const T>& picture, const Tables<const T>& lut,
              const std::optional<Colours<T>>& grad_picture, const std::optional<Tables<T>>& grad_lut, int threads) {
  const FloatExtent extent = extent_of<T>(picture, lut);
  want_alike(picture, grad);
  if (grad_picture) want_alike(picture, *grad_picture);
  if (grad_lut) want_alike(lut, *grad_lut);
  const nb::gil_scoped_release unlocked;
  lut3d_backward(extent, grad.data(), picture.data(), lut.data(), grad_picture ? grad_picture->data() : nullptr,
                 grad_lut ? grad_lut->data() : nullptr, threads);
}

template <typename T>
void bind(nb::module_& module) {
  module.def("lut3d_forward", &forward<T>, "picture"_a.noconvert(), "lut"_a.noconvert(), "out"_a.noconvert(),
             "threads"_a);
  module.def("lut3d_backward", &backward<T>, "grad"_a.noconvert(), "picture"_a.noconvert(), "lut"_a.noconvert(),
             "grad_picture"_a.noconvert().none(), "grad_lut"_a.noconvert().none(), "threads"_a);
}

}  // namespace
}  // namespace lutra

void bind_lut3d_float(nb::module_& module) {
  lutra::bind<float>(module);
  lutra::bind<double>(module);
}
