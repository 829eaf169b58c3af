// Table super-resolution as Python sees it: plain memory, shapes and types checked here once more than by kernels.ops.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "eclut/eclut_arithmetic.h"
#include "eclut/eclut_cpu.h"

namespace nb = nanobind;

namespace {

template <typename Code>
using Picture = nb::ndarray<Code, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;
template <typename Entry>
using Table = nb::ndarray<const Entry, nb::shape<lutra::kEclutRows, -1>, nb::c_contig, nb::device::cpu>;

constexpr std::size_t kLongestSide = 1 << 26;  // places in a row of large pixels are counted in 32 bits

lutra::EclutPath path_of(const std::string& name) {
  if (name == "auto" || name == "avx512") return lutra::EclutPath::avx512;
  if (name == "avx2") return lutra::EclutPath::avx2;
  if (name == "portable") return lutra::EclutPath::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512, avx2 or portable");
}

void enlarge(const Picture<const std::uint8_t>& picture, const void* table, lutra::EclutStep step, std::size_t columns,
             int scale, const Picture<std::uint8_t>& out, int threads, const std::string& path) {
  const std::size_t side = step == lutra::EclutStep::lr ? 3 * std::size_t(scale) : std::size_t(scale) + 2;
  const std::size_t height = picture.shape(0), width = picture.shape(1);
  if (scale < 2 || scale > 4) throw std::invalid_argument("wanted scale 2, 3 or 4");
  if (columns != side * side) throw std::invalid_argument("table and scale do not belong together");
  if (height > kLongestSide || width > kLongestSide) throw std::invalid_argument("a side of the picture is too long");
  if (out.shape(0) != scale * height || out.shape(1) != scale * width) {
    throw std::invalid_argument("out is not scale times the picture");
  }
  const lutra::EclutJob job{picture.data(), int(height), int(width), table, scale, step, out.data()};
  const lutra::EclutPath chosen = path_of(path);
  const nb::gil_scoped_release released;
  lutra::eclut(job, threads, chosen);
}

template <typename Entry>
void eclut(Picture<const std::uint8_t> picture, Table<Entry> table, int scale, Picture<std::uint8_t> out, int threads,
           const std::string& path) {
  const auto step = sizeof(Entry) == 1 ? lutra::EclutStep::lr : lutra::EclutStep::hr;
  enlarge(picture, table.data(), step, table.shape(1), scale, out, threads, path);
}

}  // namespace

void bind_eclut(nb::module_& module) {
  using namespace nb::literals;
  const auto picture = nb::arg("picture").noconvert(), table = nb::arg("table").noconvert();
  const auto out = nb::arg("out").noconvert();
  module.def("eclut", &eclut<std::int8_t>, picture, table, "scale"_a, out, "threads"_a, "path"_a);
  module.def("eclut", &eclut<std::int16_t>, picture, table, "scale"_a, out, "threads"_a, "path"_a);
}
