// The deformable convolution as Python sees it: arrays that torch lends, checked against each other, and no lock held.
//
// bfloat16 comes as its bits, int16.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "deform/deform_cpu.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace lutra {
namespace {

// (samples, height, width, channels), and planes of (samples, 9 or 18, height, width).
template <typename T>
using Pictures = nb::ndarray<T, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Columns = nb::ndarray<T, nb::shape<-1, 9, -1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Planes = Pictures<const float>;

constexpr std::size_t kMostPixels = (std::size_t(1) << 31) - 1;  // of a picture: corners are counted in 32 bits

template <typename Stored>
using Computed = std::conditional_t<std::is_same_v<Stored, std::int16_t>, Bfloat16, Stored>;

DeformPath path_of(const std::string& name) {
  if (name == "auto" || name == "avx512") return DeformPath::avx512;
  if (name == "avx2") return DeformPath::avx2;
  if (name == "portable") return DeformPath::portable;
  throw std::invalid_argument("path is \"" + name + "\", wanted auto, avx512, avx2 or portable");
}

template <class X, class P>
void want_planes(const X& x, const P& planes, std::size_t count) {
  if (planes.shape(0) != x.shape(0) || planes.shape(1) != count || planes.shape(2) != x.shape(1) ||
      planes.shape(3) != x.shape(2)) {
    throw std::invalid_argument("offset or mask does not belong to the picture");
  }
}

// The arguments of every call, checked, and the row of zeros that stands for what is outside.
template <typename Stored>
struct Request {
  using T = Computed<Stored>;
  std::vector<T> zeros;
  DeformJob<T> job;

  Request(const Pictures<const Stored>& x, const Planes& offset, const Planes& mask, std::size_t first,
        std::size_t count) {
    const std::size_t pixels = x.shape(1) * x.shape(2);
    want_planes(x, offset, 18);
    want_planes(x, mask, 9);
    if (x.size() == 0 || pixels > kMostPixels || x.shape(3) > kMostPixels) {
      throw std::invalid_argument("the picture is empty or too large");
    }
    const std::size_t all = x.shape(0) * pixels;
    if (first > all || count > all - first) throw std::invalid_argument("no such pixels");
    zeros.assign(x.shape(3), T{});
    job = {reinterpret_cast<const T*>(x.data()), offset.data(), mask.data(), zeros.data(), int(x.shape(1)),
           int(x.shape(2)), int(x.shape(3)), first, first + count};
  }

  template <class C>
  void want_columns(const C& columns) const {
    if (columns.shape(0) != job.last - job.first || columns.shape(2) != std::size_t(job.channels)) {
      throw std::invalid_argument("columns are not those of the picture");
    }
  }
};

template <typename Stored>
void columns(const Pictures<const Stored>& x, const Planes& offset, const Planes& mask, const Columns<Stored>& out,
             std::size_t first, int threads, const std::string& path) {
  const Request<Stored> request(x, offset, mask, first, out.shape(0));
  request.want_columns(out);
  const DeformPath chosen = path_of(path);
  const nb::gil_scoped_release unlocked;
  deform_columns(request.job, reinterpret_cast<Computed<Stored>*>(out.data()), threads, chosen);
}

template <class A>
void want_pixels(const Pictures<A>& array, const std::size_t (&shape)[4]) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (array.shape(axis) != shape[axis]) throw std::invalid_argument("an array does not fit the picture");
  }
}

template <class M>
void want_matrix(const M& taps, std::size_t rows, std::size_t columns) {
  if (taps.shape(0) != rows || taps.shape(1) != columns) throw std::invalid_argument("taps do not fit the picture");
}

template <typename Stored, class X>
void want_products(const X& x, std::size_t outputs) {
  if (outputs == 0 || outputs > kMostPixels) throw std::invalid_argument("an array does not fit the picture");
  if (!has_deform_products<Computed<Stored>>(int(x.shape(3)), int(outputs))) {
    throw std::invalid_argument("this processor has no such products, or they take no odd number of channels");
  }
}

template <typename Stored>
void convolve(const Pictures<const Stored>& x, const Planes& offset, const Planes& mask,
              const Matrix<const Stored>& taps, const Pictures<Stored>& out, int threads, const std::string& path) {
  using T = Computed<Stored>;
  const Request<Stored> request(x, offset, mask, 0, x.shape(0) * x.shape(1) * x.shape(2));
  const std::size_t outputs = out.shape(3);
  want_pixels(out, {x.shape(0), x.shape(1), x.shape(2), outputs});
  want_products<Stored>(x, outputs);
  want_matrix(taps, 9 * x.shape(3), outputs);
  const DeformPath chosen = path_of(path);
  const nb::gil_scoped_release unlocked;
  deform_convolve(request.job, reinterpret_cast<const T*>(taps.data()), reinterpret_cast<T*>(out.data()), int(outputs),
                  threads, chosen);
}

template <typename Stored>
void differentiate(const Pictures<const Stored>& grad, const Pictures<const Stored>& x, const Planes& offset,
                   const Planes& mask, const Matrix<const Stored>& taps, const std::optional<Pictures<float>>& by_x,
                   const std::optional<Pictures<float>>& by_offset, const std::optional<Pictures<float>>& by_mask,
                   const std::optional<Matrix<float>>& by_taps, int threads, const std::string& path) {
  using T = Computed<Stored>;
  const Request<Stored> request(x, offset, mask, 0, x.shape(0) * x.shape(1) * x.shape(2));
  const std::size_t outputs = grad.shape(3), channels = x.shape(3);
  want_pixels(grad, {x.shape(0), x.shape(1), x.shape(2), outputs});
  want_products<Stored>(x, outputs);
  want_matrix(taps, outputs, 9 * channels);
  if (by_x) want_pixels(*by_x, {x.shape(0), x.shape(1), x.shape(2), channels});
  if (by_offset) want_planes(x, *by_offset, 18);
  if (by_mask) want_planes(x, *by_mask, 9);
  if (by_taps) want_matrix(*by_taps, outputs, 9 * channels);
  const DeformWanted wanted{by_x ? by_x->data() : nullptr, by_offset ? by_offset->data() : nullptr,
                            by_mask ? by_mask->data() : nullptr, by_taps ? by_taps->data() : nullptr};
  const DeformPath chosen = path_of(path);
  const nb::gil_scoped_release unlocked;
  deform_differentiate(request.job, reinterpret_cast<const T*>(grad.data()), reinterpret_cast<const T*>(taps.data()),
                       int(outputs), wanted, threads, chosen);
}

template <typename Stored>
void gradients(const Pictures<const Stored>& x, const Planes& offset, const Planes& mask,
               const Columns<const float>& by_columns, const std::optional<Columns<Stored>>& out,
               const std::optional<Pictures<float>>& by_offset, const std::optional<Pictures<float>>& by_mask,
               std::size_t first, int threads, const std::string& path) {
  using T = Computed<Stored>;
  const Request<Stored> request(x, offset, mask, first, by_columns.shape(0));
  request.want_columns(by_columns);
  if (out) request.want_columns(*out);
  if (by_offset) want_planes(x, *by_offset, 18);
  if (by_mask) want_planes(x, *by_mask, 9);
  const DeformGradients<T> wanted{by_columns.data(), out ? reinterpret_cast<T*>(out->data()) : nullptr,
                                  by_offset ? by_offset->data() : nullptr, by_mask ? by_mask->data() : nullptr};
  const DeformPath chosen = path_of(path);
  const nb::gil_scoped_release unlocked;
  deform_gradients(request.job, wanted, threads, chosen);
}

template <typename Stored>
void scatter(const Pictures<const Stored>& x, const Planes& offset, const Planes& mask,
             const Columns<const float>& by_columns, const Pictures<float>& by_x, std::size_t first, int threads,
             const std::string& path) {
  const Request<Stored> request(x, offset, mask, first, by_columns.shape(0));
  request.want_columns(by_columns);
  want_pixels(by_x, {x.shape(0), x.shape(1), x.shape(2), x.shape(3)});
  const DeformPath chosen = path_of(path);
  const nb::gil_scoped_release unlocked;
  deform_scatter(request.job, by_columns.data(), by_x.data(), threads, chosen);
}

template <typename Stored>
void bind(nb::module_& module) {
  const auto x = "x"_a.noconvert(), offset = "offset"_a.noconvert(), mask = "mask"_a.noconvert();
  const auto by_columns = "by_columns"_a.noconvert();
  module.def("deform_columns", &columns<Stored>, x, offset, mask, "columns"_a.noconvert(), "first"_a, "threads"_a,
             "path"_a);
  module.def("deform_gradients", &gradients<Stored>, x, offset, mask, by_columns, "columns"_a.noconvert().none(),
             "by_offset"_a.noconvert().none(), "by_mask"_a.noconvert().none(), "first"_a, "threads"_a, "path"_a);
  module.def("deform_convolve", &convolve<Stored>, x, offset, mask, "taps"_a.noconvert(), "out"_a.noconvert(),
             "threads"_a, "path"_a);
  module.def("deform_differentiate", &differentiate<Stored>, "grad"_a.noconvert(), x, offset, mask,
             "taps"_a.noconvert(), "by_x"_a.noconvert().none(), "by_offset"_a.noconvert().none(),
             "by_mask"_a.noconvert().none(), "by_taps"_a.noconvert().none(), "threads"_a, "path"_a);
  module.def("deform_scatter", &scatter<Stored>, x, offset, mask, by_columns, "by_x"_a.noconvert(), "first"_a,
             "threads"_a, "path"_a);
}

}  // namespace
}  // namespace lutra

void bind_deform(nb::module_& module) {
  lutra::bind<float>(module);
  lutra::bind<std::int16_t>(module);
  module.def(
      "has_deform_products",
      [](bool of_bfloat16, int channels, int outputs) {
        return of_bfloat16 ? lutra::has_deform_products<lutra::Bfloat16>(channels, outputs)
                           : lutra::has_deform_products<float>(channels, outputs);
      },
      "of_bfloat16"_a, "channels"_a, "outputs"_a);
}
