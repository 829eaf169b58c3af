// The Python module kernels._cpu: what this processor runs, and the kernels, each bound in its own *_bind.cpp.
#include <nanobind/nanobind.h>

#include "shared/cpu_features.h"

namespace nb = nanobind;

void bind_area(nb::module_& module);
void bind_deform(nb::module_& module);
void bind_eclut(nb::module_& module);
void bind_lut3d(nb::module_& module);
void bind_lut3d_float(nb::module_& module);
void bind_modulated_mlp(nb::module_& module);
void bind_naf_block(nb::module_& module);
void bind_resample(nb::module_& module);

namespace {

// Slowest first.
nb::list paths() {
  nb::list names;
  names.append("portable");
  if (lutra::has_avx2()) names.append("avx2");
  if (lutra::has_avx512()) names.append("avx512");
  return names;
}

}  // namespace

NB_MODULE(_cpu, module) {
  module.def("paths", &paths, nb::sig("def paths() -> list[str]"));
  module.def("has_avx512bf16", &lutra::has_avx512bf16);
  bind_area(module);
  bind_deform(module);
  bind_eclut(module);
  bind_lut3d(module);
  bind_lut3d_float(module);
  bind_modulated_mlp(module);
  bind_naf_block(module);
  bind_resample(module);
}
