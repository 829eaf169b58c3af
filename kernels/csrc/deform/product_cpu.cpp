// Matrix products: threads, and where they run at all.
#include "deform/product_cpu.h"

#include <algorithm>
#include <cstddef>

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kWorthAThread = 1 << 21;  // multiplications

}  // namespace

bool has_product() { return has_avx512(); }

// Threads share out the rows: each sum is one thread's, in one order.
void multiply([[maybe_unused]] const Product& product, [[maybe_unused]] int threads) {
#ifdef LUTRA_HAS_AVX512
  const std::size_t worth = 1 + product.rows * product.columns * product.inner / kWorthAThread;
  const int most = int(std::min(worth, std::size_t(std::max(threads, 1))));
  in_bands(product.rows, most, [&](std::size_t first, std::size_t last) {
    Product own = product;
    own.a += std::ptrdiff_t(first) * product.a_down;
    own.c += std::ptrdiff_t(first) * product.c_down;
    own.rows = last - first;
    multiply_avx512(own);
  });
#endif
}

}  // namespace lutra
