#include "lut3d/lut3d_table.h"

#include "lut3d/lut3d_cpu.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace lutra {
namespace {

constexpr float kLargestEntry = 32766;  // leaves rounding its place
constexpr float kFarthest = 16;         // beyond it codes are clamped anyhow, and the sum could leave 32 bits

// Floating numbers ordered as integers, so that the compiler may take several at once.
int ordered(float value) {
  const int bits = std::bit_cast<int>(value);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float from_ordered(int bits) { return std::bit_cast<float>(bits ^ ((bits >> 31) & 0x7fffffff)); }

int magnitude(float value) { return std::bit_cast<int>(value) & 0x7fffffff; }

// Largest |difference| between two rows of values, as an integer that orders like it.
int row_step(const float* first, const float* second, std::size_t count) {
  int largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, magnitude(second[i] - first[i]));
  return largest;
}

int row_mixed(const float* near, const float* near_green, const float* far, const float* far_green, std::size_t count) {
  int largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max(largest, magnitude((far_green[i] - far[i]) - (near_green[i] - near[i])));
  }
  return largest;
}

// A line of nodes along red as 16-bit entries.
void round_line(const float* values, std::size_t nodes, float middle, float unit, std::int16_t* line) {
  constexpr float positive = 32768.5f;  // truncation of a positive number rounds to nearest
  for (std::size_t i = 0; i < nodes; ++i) line[i] = std::int16_t(int((values[i] - middle) * unit + positive) - 32768);
}

// A line and the next along green, three colours each, as the look-up reads them.
void pair_lines(const std::int16_t* line, const std::int16_t* next, std::size_t nodes, std::int16_t* entries) {
  for (std::size_t i = 0; i < nodes; ++i, entries += kFixedEntries) {
    const std::size_t green = i + nodes, blue = green + nodes;
    const std::int16_t pairs[kFixedEntries] = {line[i], next[i], line[green], next[green], line[blue], next[blue]};
    std::memcpy(entries, pairs, sizeof pairs);
  }
}

}  // namespace

std::pair<float, float> value_range(const float* values, std::size_t count) {
  int low = ordered(values[0]), high = low;
  for (std::size_t i = 0; i < count; ++i) {
    low = std::min(low, ordered(values[i]));
    high = std::max(high, ordered(values[i]));
  }
  return {from_ordered(low), from_ordered(high)};
}

TableFacts table_facts(const float* lut, int nodes) {
  const std::size_t n = std::size_t(nodes), plane = n * n;
  const auto [low, high] = value_range(lut, 3 * n * plane);
  int green = 0, blue = 0, mixed = 0;
  for (std::size_t line = 0; line < 3 * n * n; ++line) {
    const float* row = lut + line * n;
    const bool has_green = line % n != n - 1, has_blue = line / n % n != n - 1;
    if (has_green) green = std::max(green, row_step(row, row + n, n));
    if (has_blue) blue = std::max(blue, row_step(row, row + plane, n));
    if (has_green && has_blue) {
      mixed = std::max(mixed, row_mixed(row, row + n, row + plane, row + plane + n, n));
    }
  }
  const auto value = [](int bits) { return std::bit_cast<float>(bits); };
  return {low, high, value(green), value(blue), value(mixed)};
}

// In codes: half an entry; and in weights of 1/32767, one for the place on each axis, which counts with the step along
// it, and one and a half for their product, which counts with the mixed difference.
bool is_tame(const TableFacts& facts, int nodes) {
  const double entry = 127.5 * (double(facts.high) - double(facts.low)) / kLargestEntry;
  const double of_weights = 255.0 / kFixedOne * (double(facts.green) + double(facts.blue) + 1.5 * double(facts.mixed));
  const bool near = std::max(std::fabs(facts.low), std::fabs(facts.high)) <= kFarthest;
  return near && nodes <= kFixedMaxNodes && 0.5 * entry + of_weights <= kFixedError;
}

FixedTable fixed_table(const float* lut, int nodes, const TableFacts& facts, Aligned<std::int16_t>& storage) {
  const std::size_t n = std::size_t(nodes), volume = n * n * n;
  const float middle = 0.5f * (facts.low + facts.high);
  const float half = std::max(0.5f * (facts.high - facts.low), 1e-6f);  // a table of one value has no range
  const float unit = kLargestEntry / half;
  std::vector<std::int16_t> plane(3 * n * n);
  storage = aligned_array<std::int16_t>(kFixedEntries * volume);
  for (std::size_t blue = 0; blue < n; ++blue) {
    for (std::size_t green = 0; green < n; ++green) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float* values = lut + channel * volume + (blue * n + green) * n;
        round_line(values, n, middle, unit, plane.data() + (3 * green + channel) * n);
      }
    }
    for (std::size_t green = 0; green < n; ++green) {
      const std::int16_t* line = plane.data() + 3 * green * n;
      const std::int16_t* next = green + 1 < n ? line + 3 * n : line;
      pair_lines(line, next, n, storage.get() + kFixedEntries * (blue * n + green) * n);
    }
  }
  return {storage.get(), nodes, 255.0f / (unit * float(kFixedOne)), 255.0f * middle + 0.5f};
}

template <typename T>
WideTable<T> wide_table(const float* lut, int nodes, Aligned<T>& storage) {
  const std::size_t volume = std::size_t(nodes) * nodes * nodes;
  storage = aligned_array<T>(4 * volume);
  for (std::size_t i = 0; i < volume; ++i) {
    for (std::size_t channel = 0; channel < 3; ++channel) storage[4 * i + channel] = lut[channel * volume + i];
    storage[4 * i + 3] = 0;
  }
  return {storage.get(), nodes};
}

template WideTable<float> wide_table(const float*, int, Aligned<float>&);
template WideTable<double> wide_table(const float*, int, Aligned<double>&);

}  // namespace lutra
