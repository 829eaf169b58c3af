// The deformable convolution and its gradients whole: every thread reads and multiplies pixels of its own, a few at a time,
// so that their columns stay in its cache and no thread waits for another before the end.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "deform/deform_choice.h"
#include "deform/deform_cpu.h"
#include "shared/parallel.h"
#include "deform/product_cpu.h"

namespace lutra {
namespace {

constexpr std::size_t kHeldBytes = 512 << 10;  // half of a common second-level cache: the picture's rows need the rest
constexpr std::size_t kRows = 12;              // bands are whole blocks of a product, and even
constexpr int kMostParts = 8;                  // of the pixels, each with a gradient by x of its own

template <typename V>
std::unique_ptr<V[]> room(std::size_t count) {
  return std::make_unique_for_overwrite<V[]>(count);
}

// Matrices (rows, columns) as a product takes them: as they lie, or pairs of rows.
class RowMajor {
 public:
  const float* write(const float* from, std::size_t, std::size_t) { return from; }
};

class Paired {
 public:
  const std::uint32_t* write([[maybe_unused]] const Bfloat16* from, std::size_t rows, std::size_t columns) {
    const std::size_t words = (rows + 1) / 2 * columns;
    if (words > words_.size()) words_.resize(words);
#ifdef LUTRA_HAS_AVX512BF16
    pair_rows_avx512bf16(from, rows, columns, words_.data());
#endif
    return words_.data();
  }

 private:
  std::vector<std::uint32_t> words_;
};

// Called only where `has_deform_products`.
template <typename T>
struct Products;

template <>
struct Products<float> {
  using Rows = RowMajor;
  static constexpr std::size_t kValues = 1;  // in a word
  static void multiply([[maybe_unused]] const Product& product) {
#ifdef LUTRA_HAS_AVX512
    multiply_avx512(product);
#endif
  }
};

template <>
struct Products<Bfloat16> {
  using Rows = Paired;
  static constexpr std::size_t kValues = 2;
  static void multiply([[maybe_unused]] const Product& product) {
#ifdef LUTRA_HAS_AVX512BF16
    multiply_avx512bf16(product);
#endif
  }
};

void round_to([[maybe_unused]] Bfloat16* to, [[maybe_unused]] const float* from, [[maybe_unused]] std::size_t count) {
#ifdef LUTRA_HAS_AVX512BF16
  round_avx512bf16(from, count, to);
#endif
}

// c (rows, columns) = a (rows, inner) b (inner, columns), a in plain rows, b as `Rows` wrote it.
template <typename T>
void multiply_rows(const T* a, const void* b, float* c, std::size_t rows, std::size_t columns, std::size_t inner) {
  const std::size_t words = inner / Products<T>::kValues;
  Products<T>::multiply({a, std::ptrdiff_t(words), 1, b, std::ptrdiff_t(columns), c, std::ptrdiff_t(columns), rows,
                         columns, words, false});
}

// c (rows, columns) += the transpose of a (inner, rows), b (inner, columns), both as `Rows` wrote them.
template <typename T>
void add_transposed(const void* a, const void* b, float* c, std::size_t rows, std::size_t columns, std::size_t inner) {
  const std::size_t words = (inner + Products<T>::kValues - 1) / Products<T>::kValues;
  Products<T>::multiply({a, 1, std::ptrdiff_t(rows), b, std::ptrdiff_t(columns), c, std::ptrdiff_t(columns), rows,
                         columns, words, true});
}

// Calls f(job of a few pixels) for a run of them.
template <typename T, class F>
void for_each_band(const DeformJob<T>& job, std::size_t first, std::size_t last, std::size_t size, F f) {
  for (std::size_t at = first; at < last; at += size) {
    DeformJob<T> own = job;
    own.first = at;
    own.last = std::min(at + size, last);
    f(own);
  }
}

std::size_t pixels_in(std::size_t bytes_a_pixel) {
  return std::max<std::size_t>(1, kHeldBytes / bytes_a_pixel / kRows) * kRows;
}

// ---- Forward -------------------------------------------------------------------------------------------------------

template <typename T>
void convolve_part(const DeformJob<T>& job, std::size_t first, std::size_t last, const void* taps, T* out,
                   std::size_t outputs, const DeformLoops<T>& loops) {
  const std::size_t column = 9 * std::size_t(job.channels), size = pixels_in(column * sizeof(T));
  const auto columns = room<T>(size * column);
  [[maybe_unused]] const auto sums = room<float>(std::is_same_v<T, float> ? 0 : size * outputs);
  for_each_band(job, first, last, size, [&](const DeformJob<T>& own) {
    const std::size_t count = own.last - own.first;
    T* to = out + own.first * outputs;
    loops.columns(own, own.first, own.last, columns.get());
    if constexpr (std::is_same_v<T, float>) {
      multiply_rows(columns.get(), taps, to, count, outputs, column);
    } else {
      multiply_rows(columns.get(), taps, sums.get(), count, outputs, column);
      round_to(to, sums.get(), count * outputs);
    }
  });
}

// ---- Gradients -----------------------------------------------------------------------------------------------------

// The share of one thread: no other writes its by_x and by_taps.
template <typename T>
void differentiate_part(const DeformJob<T>& job, std::size_t first, std::size_t last, const T* grad, const void* taps,
                        std::size_t outputs, const DeformWanted& wanted, const DeformLoops<T>& loops) {
  const std::size_t column = 9 * std::size_t(job.channels), size = pixels_in(column * (2 * sizeof(T) + sizeof(float)));
  const auto columns = room<T>(wanted.by_taps ? size * column : 0);
  const auto by_columns = room<float>(size * column);
  typename Products<T>::Rows column_rows, grad_rows;
  for_each_band(job, first, last, size, [&](const DeformJob<T>& own) {
    const std::size_t count = own.last - own.first;
    const T* above = grad + own.first * outputs;
    multiply_rows(above, taps, by_columns.get(), count, column, outputs);
    T* again = wanted.by_taps ? columns.get() : nullptr;
    loops.gradients(own, own.first, own.last, {by_columns.get(), again, wanted.by_offset, wanted.by_mask});
    if (wanted.by_x) loops.scatter(own, 0, own.channels, by_columns.get(), wanted.by_x);
    if (!wanted.by_taps) return;
    const void* left = grad_rows.write(above, count, outputs);
    add_transposed<T>(left, column_rows.write(again, count, column), wanted.by_taps, outputs, column, count);
  });
}

// Sums of one thread each, but for the first, whose sums are the result.
class ThreadSums {
 public:
  ThreadSums(float* result, std::size_t count, int parts, int threads) : result_(result), count_(count), threads_(threads) {
    for (int part = 1; part < parts && result; ++part) sums_.push_back(std::make_unique<float[]>(count));
  }

  float* of(std::size_t part) { return part == 0 || sums_.empty() ? result_ : sums_[part - 1].get(); }

  // In the order of the parts.
  void gather() {
    in_bands(count_, sums_.empty() ? 1 : threads_, [&](std::size_t first, std::size_t last) {
      for (const auto& sums : sums_)
        for (std::size_t i = first; i < last; ++i) result_[i] += sums[i];
    });
  }

 private:
  float* result_;
  std::size_t count_;
  int threads_;
  std::vector<std::unique_ptr<float[]>> sums_;
};

}  // namespace

template <>
bool has_deform_products<float>(int, int) {
  return has_avx512();
}

template <>
bool has_deform_products<Bfloat16>(int channels, int outputs) {  // rows of whole pairs
  return has_avx512bf16() && channels % 2 == 0 && outputs % 2 == 0;
}

template <typename T>
void deform_convolve(const DeformJob<T>& job, const T* taps, T* out, int outputs, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  typename Products<T>::Rows rows;
  const void* written = rows.write(taps, 9 * std::size_t(job.channels), std::size_t(outputs));
  in_bands(job.last - job.first, worthwhile(job, threads), [&](std::size_t first, std::size_t last) {
    convolve_part(job, job.first + first, job.first + last, written, out, std::size_t(outputs), loops);
  });
}

// Threads take whole pictures, or, where those are fewer, pixels: then each has a gradient by x of its own.
template <typename T>
void deform_differentiate(const DeformJob<T>& job, const T* grad, const T* taps, int outputs,
                          const DeformWanted& wanted, int threads, DeformPath path) {
  const DeformLoops<T>& loops = loops_of<T>(path);
  const std::size_t column = 9 * std::size_t(job.channels), width = std::size_t(outputs), plane = job.plane();
  const std::size_t pixels = job.last - job.first, samples = pixels / plane;
  const int parts = std::min(worthwhile(job, threads), kMostParts);
  const std::size_t unit = samples >= std::size_t(parts) ? plane : 1;
  typename Products<T>::Rows rows;
  const void* written = rows.write(taps, width, column);
  ThreadSums by_x(wanted.by_x, pixels * std::size_t(job.channels), unit == 1 ? parts : 1, parts);
  ThreadSums by_taps(wanted.by_taps, width * column, parts, parts);
  in_bands(std::size_t(parts), parts, [&](std::size_t from, std::size_t to) {
    for (std::size_t part = from; part < to; ++part) {
      const auto start = [&](std::size_t k) { return pixels / unit * k / std::size_t(parts) * unit; };
      const DeformWanted own{by_x.of(part), wanted.by_offset, wanted.by_mask, by_taps.of(part)};
      differentiate_part(job, start(part), start(part + 1), grad, written, width, own, loops);
    }
  });
  by_x.gather();
  by_taps.gather();
}

template void deform_convolve<float>(const DeformJob<float>&, const float*, float*, int, int, DeformPath);
template void deform_convolve<Bfloat16>(const DeformJob<Bfloat16>&, const Bfloat16*, Bfloat16*, int, int, DeformPath);
template void deform_differentiate<float>(const DeformJob<float>&, const float*, const float*, int, const DeformWanted&,
                                          int, DeformPath);
template void deform_differentiate<Bfloat16>(const DeformJob<Bfloat16>&, const Bfloat16*, const Bfloat16*, int,
                                             const DeformWanted&, int, DeformPath);

}  // namespace lutra
