// Matrix products as Python sees them.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <stdexcept>

#include "product_cpu.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

template <class M>
void want_whole_rows(const M& matrix) {
  const bool whole = matrix.stride(1) == 1 || matrix.shape(1) <= 1;
  if (!whole || matrix.stride(0) < 0) throw std::invalid_argument("wanted the values of a row side by side");
}

void multiply(const Matrix<const float>& a, const Matrix<const float>& b, const Matrix<float>& out, bool add,
              int threads) {
  if (a.shape(1) != b.shape(0) || out.shape(0) != a.shape(0) || out.shape(1) != b.shape(1)) {
    throw std::invalid_argument("matrices do not fit each other");
  }
  if (a.size() == 0 || b.size() == 0) throw std::invalid_argument("matrices are empty");
  if (!lutra::has_product()) throw std::invalid_argument("this processor has no AVX-512");
  want_whole_rows(b);
  want_whole_rows(out);
  const lutra::Product product{a.data(),   std::ptrdiff_t(a.stride(0)), std::ptrdiff_t(a.stride(1)), b.data(),
                               std::ptrdiff_t(b.stride(0)), out.data(), std::ptrdiff_t(out.stride(0)), a.shape(0),
                               b.shape(1), a.shape(1), add};
  const nb::gil_scoped_release unlocked;
  lutra::multiply(product, threads);
}

}  // namespace

void bind_product(nb::module_& module) {
  module.def("has_product", &lutra::has_product, nb::sig("def has_product() -> bool"));
  module.def("multiply", &multiply, "a"_a.noconvert(), "b"_a.noconvert(), "out"_a.noconvert(), "add"_a, "threads"_a);
}
