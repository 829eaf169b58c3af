#include "area/area_cpu.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kPixelsWorthAThread = 1 << 17;  // half a millisecond of work; a thread takes 0.03

struct Span {
  std::size_t first, last;
  std::size_t size() const { return last - first; }
};

Span cell(std::size_t i, std::size_t cells, std::size_t samples) {
  return {i * samples / cells, ((i + 1) * samples + cells - 1) / cells};
}

std::vector<Span> all_cells(std::size_t cells, std::size_t samples) {
  std::vector<Span> spans(cells);
  for (std::size_t i = 0; i < cells; ++i) spans[i] = cell(i, cells, samples);
  return spans;
}

// One output row: rows are summed first, a loop that the compiler turns into vectors, then columns.
template <typename Code>
void mean_row(const Code* in, Span rows, std::size_t width, float* out, const std::vector<Span>& all_columns,
              std::size_t channels, std::vector<std::uint32_t>& sums) {
  const std::size_t samples = width * channels;
  std::fill(sums.begin(), sums.end(), 0u);
  for (std::size_t row = rows.first; row < rows.last; ++row) {
    const Code* from = in + row * samples;
    for (std::size_t i = 0; i < samples; ++i) sums[i] += from[i];
  }
  const double top = double(std::numeric_limits<Code>::max());
  for (std::size_t i = 0; i < all_columns.size(); ++i) {
    const Span columns = all_columns[i];
    const double share = 1.0 / (double(rows.size()) * double(columns.size()) * top);
    for (std::size_t channel = 0; channel < channels; ++channel) {
      std::uint64_t sum = 0;
      for (std::size_t column = columns.first; column < columns.last; ++column) sum += sums[column * channels + channel];
      out[i * channels + channel] = float(double(sum) * share);
    }
  }
}

template <typename Code>
void mean(const Code* in, Extent from, float* out, Extent to, std::size_t channels, int threads) {
  const std::size_t worth = std::max<std::size_t>(1, from.height * from.width / kPixelsWorthAThread);
  const std::vector<Span> columns = all_cells(to.width, from.width);
  in_bands(to.height, int(std::min<std::size_t>(std::size_t(std::max(1, threads)), worth)), [&](std::size_t first, std::size_t last) {
    std::vector<std::uint32_t> sums(from.width * channels);
    for (std::size_t row = first; row < last; ++row) {
      mean_row(in, cell(row, to.height, from.height), from.width, out + row * to.width * channels, columns, channels,
               sums);
    }
  });
}

}  // namespace

void area_mean(const std::uint8_t* in, Extent from, float* out, Extent to, std::size_t channels, int threads) {
  mean(in, from, out, to, channels, threads);
}

void area_mean(const std::uint16_t* in, Extent from, float* out, Extent to, std::size_t channels, int threads) {
  mean(in, from, out, to, channels, threads);
}

}  // namespace lutra
