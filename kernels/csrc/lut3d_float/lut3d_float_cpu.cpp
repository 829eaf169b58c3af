// The look-up for training, written for any processor: the four numbers of a node are one vector of the compiler's.
#include "lut3d_float/lut3d_float_cpu.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "shared/arithmetic.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kChunk = 256;                 // pixels whose places are computed at once
constexpr std::size_t kPixelsWorthAThread = 1 << 13;
constexpr std::size_t kMostParts = 8;               // of one picture, for the gradient by table
constexpr std::size_t kSumBytes = 16 << 20;         // of those parts' sums, where threads share the work

// The four numbers of a node, in vectors of 16 bytes, which every processor has: one of floats, two of doubles.
template <typename T>
struct Quad {
  typedef T Vector __attribute__((vector_size(16)));
  static constexpr int kVectors = sizeof(T) / 4, kLanes = 16 / sizeof(T);
  Vector part[kVectors];

  static Quad of(T first, T second, T third, T fourth) {
    if constexpr (kVectors == 1) {
      return {{Vector{first, second, third, fourth}}};
    } else {
      return {{Vector{first, second}, Vector{third, fourth}}};
    }
  }
  static Quad of(T x) { return of(x, x, x, x); }

  T operator[](int k) const { return part[k / kLanes][k % kLanes]; }

  friend Quad operator+(Quad a, const Quad& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] += b.part[i];
    return a;
  }
  friend Quad operator-(Quad a, const Quad& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] -= b.part[i];
    return a;
  }
  friend Quad operator*(Quad a, const Quad& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] *= b.part[i];
    return a;
  }
};

// ---- Tables ------------------------------------------------------------------------------------------------------

// A table as it lies in memory: three loads a node.
template <typename T>
struct PlanarNodes {
  const T* values;
  std::size_t volume;

  Quad<T> operator[](std::ptrdiff_t i) const {
    return Quad<T>::of(values[i], values[volume + i], values[2 * volume + i], 0);
  }
};

template <typename T>
void pack(const T* lut, std::size_t volume, Quad<T>* packed) {
  for (std::size_t i = 0; i < volume; ++i) packed[i] = Quad<T>::of(lut[i], lut[volume + i], lut[2 * volume + i], 0);
}

// The tables that one thread reads: packed, one load a node, where the pixels are enough to repay it.
template <typename T>
class Tables {
 public:
  Tables(const FloatExtent& extent, const T* luts) : extent_(extent), luts_(luts) {}

  // Calls f with the nodes of this sample's table; `pixels` is how many will be read from it.
  template <class F>
  void with(std::size_t sample, std::size_t pixels, F f) {
    const T* lut = luts_ + extent_.table(sample);
    if (lut != packed_from_ && 4 * pixels < extent_.volume()) {
      f(PlanarNodes<T>{lut, extent_.volume()});
      return;
    }
    if (lut != packed_from_) {
      if (!packed_) packed_ = std::make_unique_for_overwrite<Quad<T>[]>(extent_.volume());
      pack(lut, extent_.volume(), packed_.get());
      packed_from_ = lut;
    }
    f(static_cast<const Quad<T>*>(packed_.get()));
  }

 private:
  const FloatExtent& extent_;
  const T* luts_;
  std::unique_ptr<Quad<T>[]> packed_;
  const T* packed_from_ = nullptr;
};

// ---- Places ------------------------------------------------------------------------------------------------------

// Where a chunk of pixels lies: the first of its eight nodes, and the three parts.
template <typename T>
struct Places {
  int cell[kChunk];
  T red[kChunk], green[kChunk], blue[kChunk];

  Places(const T* picture, std::size_t plane, std::size_t count, int nodes) {
    for (std::size_t i = 0; i < count; ++i) {
      const Place<T> place = lutra::place(picture[i], nodes);
      cell[i] = place.cell, red[i] = place.part;
    }
    add(picture + plane, count, nodes, nodes, green);
    add(picture + 2 * plane, count, nodes, nodes * nodes, blue);
  }

 private:
  void add(const T* colours, std::size_t count, int nodes, int step, T* parts) {
    for (std::size_t i = 0; i < count; ++i) {
      const Place<T> place = lutra::place(colours[i], nodes);
      cell[i] += step * place.cell, parts[i] = place.part;
    }
  }
};

// Calls f(sample, begin, end) for the runs of pixels that [first, last) of all samples' pixels consists of.
template <class F>
void for_each_run(std::size_t pixels, std::size_t first, std::size_t last, F f) {
  for (std::size_t at = first; at < last;) {
    const std::size_t sample = at / pixels, begin = at % pixels, end = std::min(pixels, begin + last - at);
    f(sample, begin, end);
    at += end - begin;
  }
}

// As many of the threads as that much work is worth.
int worthwhile(std::size_t pixels, int threads) {
  const std::size_t most = std::max<std::size_t>(1, pixels / kPixelsWorthAThread);
  return int(std::min(most, std::size_t(std::max(threads, 1))));
}

// ---- Forward -----------------------------------------------------------------------------------------------------

template <typename T, class Nodes>
void forward_run(const Nodes& table, int nodes, const T* picture, T* out, std::size_t plane, std::size_t count) {
  const std::ptrdiff_t row = nodes, sheet = row * nodes;
  for (std::size_t start = 0; start < count; start += kChunk) {
    const std::size_t size = std::min(kChunk, count - start);
    const Places<T> places(picture + start, plane, size, nodes);
    for (std::size_t i = 0; i < size; ++i) {
      const std::ptrdiff_t c = places.cell[i];
      const Quad<T> red = Quad<T>::of(places.red[i]), green = Quad<T>::of(places.green[i]);
      const Quad<T> blue = Quad<T>::of(places.blue[i]);
      const Quad<T> colour =
          trilinear(table[c], table[c + 1], table[c + row], table[c + row + 1], table[c + sheet], table[c + sheet + 1],
                    table[c + sheet + row], table[c + sheet + row + 1], red, green, blue);
      T* to = out + start + i;
      to[0] = colour[0], to[plane] = colour[1], to[2 * plane] = colour[2];
    }
  }
}

// ---- Backward ----------------------------------------------------------------------------------------------------

template <typename T, class Nodes>
void picture_run(const Nodes& table, int nodes, const T* grad, const T* picture, T* out, std::size_t plane,
                 std::size_t count) {
  const std::ptrdiff_t row = nodes, sheet = row * nodes;
  const auto along = [](Quad<T> slope, Quad<T> g) {
    const Quad<T> each = slope * g;
    return each[0] + each[1] + each[2];
  };
  for (std::size_t start = 0; start < count; start += kChunk) {
    const std::size_t size = std::min(kChunk, count - start);
    const Places<T> places(picture + start, plane, size, nodes);
    for (std::size_t i = 0; i < size; ++i) {
      const std::ptrdiff_t c = places.cell[i];
      const Quad<T> red = Quad<T>::of(places.red[i]), green = Quad<T>::of(places.green[i]);
      const Quad<T> blue = Quad<T>::of(places.blue[i]);
      const Slopes<Quad<T>> slopes = trilinear_slopes(
          table[c], table[c + 1], table[c + row], table[c + row + 1], table[c + sheet], table[c + sheet + 1],
          table[c + sheet + row], table[c + sheet + row + 1], red, green, blue);
      const std::size_t at = start + i;
      const Quad<T> g = Quad<T>::of(grad[at], grad[plane + at], grad[2 * plane + at], 0);
      out[at] = along(slopes.red, g) * place_slope(picture[at], nodes);
      out[plane + at] = along(slopes.green, g) * place_slope(picture[plane + at], nodes);
      out[2 * plane + at] = along(slopes.blue, g) * place_slope(picture[2 * plane + at], nodes);
    }
  }
}

template <typename T>
void table_run(Quad<T>* sums, int nodes, const T* grad, const T* picture, std::size_t plane, std::size_t count) {
  const std::ptrdiff_t row = nodes, sheet = row * nodes;
  const std::ptrdiff_t corners[4] = {0, row, sheet, sheet + row};
  for (std::size_t start = 0; start < count; start += kChunk) {
    const std::size_t size = std::min(kChunk, count - start);
    const Places<T> places(picture + start, plane, size, nodes);
    for (std::size_t i = 0; i < size; ++i) {
      T weights[8];
      trilinear_weights(places.red[i], places.green[i], places.blue[i], weights);
      const std::size_t at = start + i;
      const Quad<T> g = Quad<T>::of(grad[at], grad[plane + at], grad[2 * plane + at], 0);
      Quad<T>* cell = sums + places.cell[i];
      for (int k = 0; k < 4; ++k) {
        cell[corners[k]] = cell[corners[k]] + Quad<T>::of(weights[2 * k]) * g;
        cell[corners[k] + 1] = cell[corners[k] + 1] + Quad<T>::of(weights[2 * k + 1]) * g;
      }
    }
  }
}

// Adds sums [first, last) to a planar table.
template <typename T>
void gather(const Quad<T>* sums, T* lut, std::size_t volume, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last; ++i) {
    lut[i] += sums[i][0], lut[volume + i] += sums[i][1], lut[2 * volume + i] += sums[i][2];
  }
}

// How many parts are summed before they are gathered: one where one thread does all, and can keep its sums in the cache;
// else as many as a bounded memory holds, since every gathering is a meeting of the threads.
template <typename T>
std::size_t parts_at_once(std::size_t tasks, std::size_t volume, int threads) {
  if (threads == 1) return 1;
  return std::min(tasks, std::max(std::size_t(threads), kSumBytes / (volume * sizeof(Quad<T>))));
}

// Every picture is cut into parts, whose number hangs on its size alone. Each part has sums of its own, and those are
// added up in the order of the parts: no update is lost and no thread count changes the result.
template <typename T>
void backward_by_table(const FloatExtent& extent, const T* grad, const T* picture, T* grad_lut, int threads) {
  const std::size_t volume = extent.volume(), pixels = extent.pixels;
  const std::size_t parts = std::clamp<std::size_t>(pixels / std::max<std::size_t>(volume, 4096), 1, kMostParts);
  const std::size_t tasks = extent.samples * parts;
  const int workers = worthwhile(extent.samples * pixels, threads);
  const std::size_t at_once = parts_at_once<T>(tasks, volume, workers);
  std::fill_n(grad_lut, 3 * volume * (extent.shared ? 1 : extent.samples), T(0));
  const auto sums = std::make_unique_for_overwrite<Quad<T>[]>(at_once * volume);
  for (std::size_t wave = 0; wave < tasks; wave += at_once) {
    const std::size_t count = std::min(at_once, tasks - wave);
    in_bands(count, workers, [&](std::size_t first, std::size_t last) {
      for (std::size_t k = first; k < last; ++k) {
        const std::size_t sample = (wave + k) / parts, part = (wave + k) % parts;
        const std::size_t begin = pixels * part / parts, end = pixels * (part + 1) / parts;
        const std::size_t from = 3 * pixels * sample + begin;
        Quad<T>* const own = sums.get() + k * volume;
        std::fill_n(own, volume, Quad<T>{});
        table_run(own, extent.nodes, grad + from, picture + from, pixels, end - begin);
      }
    });
    in_bands(volume, worthwhile(count * volume, workers), [&](std::size_t first, std::size_t last) {
      for (std::size_t k = 0; k < count; ++k) {
        gather(sums.get() + k * volume, grad_lut + extent.table((wave + k) / parts), volume, first, last);
      }
    });
  }
}

template <typename T>
void backward_by_picture(const FloatExtent& extent, const T* grad, const T* picture, const T* lut, T* out,
                         int threads) {
  const std::size_t total = extent.samples * extent.pixels;
  in_bands(total, worthwhile(total, threads), [&](std::size_t first, std::size_t last) {
    Tables<T> tables(extent, lut);
    for_each_run(extent.pixels, first, last, [&](std::size_t sample, std::size_t begin, std::size_t end) {
      const std::size_t from = 3 * extent.pixels * sample + begin;
      tables.with(sample, extent.shared ? last - first : end - begin, [&](const auto& table) {
        picture_run(table, extent.nodes, grad + from, picture + from, out + from, extent.pixels, end - begin);
      });
    });
  });
}

}  // namespace

template <typename T>
void lut3d_forward(const FloatExtent& extent, const T* picture, const T* lut, T* out, int threads) {
  const std::size_t total = extent.samples * extent.pixels;
  in_bands(total, worthwhile(total, threads), [&](std::size_t first, std::size_t last) {
    Tables<T> tables(extent, lut);
    for_each_run(extent.pixels, first, last, [&](std::size_t sample, std::size_t begin, std::size_t end) {
      const std::size_t from = 3 * extent.pixels * sample + begin;
      tables.with(sample, extent.shared ? last - first : end - begin, [&](const auto& table) {
        forward_run(table, extent.nodes, picture + from, out + from, extent.pixels, end - begin);
      });
    });
  });
}

template <typename T>
void lut3d_backward(const FloatExtent& extent, const T* grad, const T* picture, const T* lut, T* grad_picture,
                    T* grad_lut, int threads) {
  if (grad_picture) backward_by_picture(extent, grad, picture, lut, grad_picture, threads);
  if (grad_lut) backward_by_table(extent, grad, picture, grad_lut, threads);
}

template void lut3d_forward<float>(const FloatExtent&, const float*, const float*, float*, int);
template void lut3d_forward<double>(const FloatExtent&, const double*, const double*, double*, int);
template void lut3d_backward<float>(const FloatExtent&, const float*, const float*, const float*, float*, float*, int);
template void lut3d_backward<double>(const FloatExtent&, const double*, const double*, const double*, double*, double*,
                                     int);

}  // namespace lutra
