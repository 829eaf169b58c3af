// The look-up for serving as Python sees it: plain memory, shapes and types checked by nanobind.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "lut3d/lut3d_cpu.h"

namespace nb = nanobind;

namespace {

template <typename Code>
using Picture = nb::ndarray<Code, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const float, nb::shape<3, -1, -1, -1>, nb::c_contig, nb::device::cpu>;

lutra::Path path_of(const std::string& name) {
  if (name == "auto" || name == "avx512") return lutra::Path::avx512;
  if (name == "avx2") return lutra::Path::avx2;
  if (name == "exact") return lutra::Path::exact;
  if (name == "portable") return lutra::Path::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512, avx2, exact or portable");
}

int nodes_of(const Table& lut) {
  const auto nodes = lut.shape(1);
  if (lut.shape(2) != nodes || lut.shape(3) != nodes || nodes < 2 || nodes > 256) {
    throw std::invalid_argument("lut is not a cube of 2 to 256 nodes an axis");
  }
  return int(nodes);
}

template <typename Code>
void apply(Picture<const Code> picture, Table lut, Picture<Code> out, int threads, const std::string& path) {
  if (picture.shape(0) != out.shape(0)) throw std::invalid_argument("picture and out differ in their pixels");
  const int nodes = nodes_of(lut);
  const lutra::Path chosen = path_of(path);
  nb::gil_scoped_release released;
  lutra::lut3d_apply(picture.data(), out.data(), picture.shape(0), lut.data(), nodes, threads, chosen);
}

std::pair<float, float> value_range(nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu> values) {
  if (values.size() == 0) throw std::invalid_argument("no values");
  nb::gil_scoped_release released;
  return lutra::value_range(values.data(), values.size());
}

}  // namespace

void bind_lut3d(nb::module_& module) {
  using namespace nb::literals;
  const auto picture = "picture"_a, lut = "lut"_a, out = "out"_a, threads = "threads"_a, path = "path"_a;
  module.def("lut3d_apply", &apply<std::uint8_t>, picture.noconvert(), lut.noconvert(), out.noconvert(), threads, path);
  module.def("lut3d_apply", &apply<std::uint16_t>, picture.noconvert(), lut.noconvert(), out.noconvert(), threads, path);
  module.def("value_range", &value_range, "values"_a.noconvert());
  module.def(
      "is_tame",
      [](Table table) { return lutra::is_tame(table.data(), nodes_of(table)); }, lut.noconvert());
}
