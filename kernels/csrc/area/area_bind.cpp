// The reduction by areas as Python sees it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>

#include "area/area_cpu.h"

namespace nb = nanobind;

namespace {

constexpr std::size_t kMostRows = (1 << 16) - 2;

template <typename T>
using Picture = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

template <typename Code>
void area_mean(Picture<const Code> picture, Picture<float> out, int threads) {
  const lutra::Extent from{picture.shape(0), picture.shape(1)}, to{out.shape(0), out.shape(1)};
  if (picture.shape(2) != out.shape(2)) throw std::invalid_argument("picture and out differ in their channels");
  if (picture.size() == 0 || out.size() == 0) throw std::invalid_argument("picture or out is empty");
  if (from.height / to.height >= kMostRows) throw std::invalid_argument("an area is too tall for its sums");
  nb::gil_scoped_release released;
  lutra::area_mean(picture.data(), from, out.data(), to, picture.shape(2), threads);
}

}  // namespace

void bind_area(nb::module_& module) {
  using namespace nb::literals;
  const auto picture = "picture"_a, out = "out"_a;
  module.def("area_mean", &area_mean<std::uint8_t>, picture.noconvert(), out.noconvert(), "threads"_a);
  module.def("area_mean", &area_mean<std::uint16_t>, picture.noconvert(), out.noconvert(), "threads"_a);
}
