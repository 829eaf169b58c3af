#include "lut3d_table.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace lutra {
namespace {

constexpr int kWeightBits = 15;
constexpr double kStretch = double(1 << kWeightBits) / kFixedOne;  // weights sum to 32767, the shift divides by 32768

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

// One line of nodes along red as 16-bit entries, the last of them twice.
void rounded_row(const float* values, int nodes, float middle, float unit, std::int16_t* row) {
  constexpr float positive = 32768.5f;  // truncation of a positive number rounds to nearest
  for (int red = 0; red < nodes; ++red) row[red] = std::int16_t(int((values[red] - middle) * unit + positive) - 32768);
  row[nodes] = row[nodes - 1];
}

// The pairs of a line, eight numbers to every node.
void write_pairs(const std::int16_t* row, int nodes, std::int16_t* entries) {
  const std::int16_t *red = row, *green = row + nodes + 1, *blue = green + nodes + 1;
  for (int i = 0; i < nodes; ++i, entries += kFixedEntries) {
    const std::int16_t pairs[8] = {red[i], red[i + 1], green[i], green[i + 1], blue[i], blue[i + 1], 0, 0};
    std::memcpy(entries, pairs, sizeof pairs);
  }
}

}  // namespace

TableFacts table_facts(const float* lut, int nodes) {
  const std::size_t n = std::size_t(nodes), plane = n * n;
  int low = ordered(lut[0]), high = low, red = 0, green = 0, blue = 0, mixed = 0;
  for (std::size_t i = 0; i < 3 * n * plane; ++i) {
    low = std::min(low, ordered(lut[i]));
    high = std::max(high, ordered(lut[i]));
  }
  for (std::size_t line = 0; line < 3 * n * n; ++line) {
    const float* row = lut + line * n;
    const bool has_green = line % n != n - 1, has_blue = line / n % n != n - 1;
    red = std::max(red, row_step(row, row + 1, n - 1));
    if (has_green) green = std::max(green, row_step(row, row + n, n));
    if (has_blue) blue = std::max(blue, row_step(row, row + plane, n));
    if (has_green && has_blue) {
      mixed = std::max(mixed, row_mixed(row, row + n, row + plane, row + plane + n, n));
    }
  }
  const auto value = [](int bits) { return std::bit_cast<float>(bits); };
  return {from_ordered(low), from_ordered(high), value(red), value(green), value(blue), value(mixed)};
}

// The error, in codes, is at most half a unit of the entries and, in weights of 1/32768: one for the place on each
// axis, one and a half for the product of green and blue (it counts with the mixed difference), and half a unit and the
// share of red for each of the four products with red (they count with the step along red).
int fixed_bits(const TableFacts& facts, int nodes) {
  if (nodes > kFixedMaxNodes) return -1;
  const double weight = 255.0 / (1 << kWeightBits);
  const double of_weights = weight * (4.0 * facts.red + facts.green + facts.blue + 1.5 * facts.mixed);
  const double half_range = 127.5 * (double(facts.high) - double(facts.low)) * kStretch;
  const double reach = 255.0 * std::max(std::fabs(facts.low), std::fabs(facts.high)) + 1.0;
  for (int bits = 8; bits >= 6; --bits) {
    const double unit = 1 << bits;
    if (0.5 / unit + of_weights > kFixedError) return -1;
    if (half_range * unit < 32766.5 && reach <= double(1 << (31 - kWeightBits - bits))) return bits;
  }
  return -1;
}

FixedTable fixed_table(const float* lut, int nodes, const TableFacts& facts, int bits, Aligned<std::int16_t>& storage) {
  const std::size_t n = std::size_t(nodes), volume = n * n * n;
  storage = aligned_array<std::int16_t>(kFixedEntries * volume);
  const float middle = 0.5f * (facts.low + facts.high);
  const float unit = float(255.0 * (1 << bits) * kStretch);
  std::vector<std::int16_t> row(3 * (n + 1));
  for (std::size_t line = 0; line < n * n; ++line) {
    const bool first_green = line % n == 0, last_green = line % n == n - 1;
    for (std::size_t channel = 0; channel < 3; ++channel) {
      rounded_row(lut + channel * volume + line * n, nodes, middle, unit, row.data() + channel * (n + 1));
    }
    std::int16_t* const entries = storage.get() + kFixedEntries * line * n;
    write_pairs(row.data(), nodes, entries);
    if (!first_green) write_pairs(row.data(), nodes, entries - kFixedEntries * n + kFixedEntries / 2);
    if (last_green) write_pairs(row.data(), nodes, entries + kFixedEntries / 2);
  }
  const int shift = kWeightBits + bits;
  const int bias = int(std::lround((255.0 * double(middle) + 0.5) * double(1 << shift)));
  return {storage.get(), nodes, bias, shift};
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
