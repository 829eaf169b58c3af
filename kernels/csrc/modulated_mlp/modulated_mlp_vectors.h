// LM-LIIF's render perceptron in vectors of the compiler's, as wide as the file that includes this may use.
//
// The sixteen units of a layer lie in one vector of AVX-512, two of AVX2 or four of SSE; what a layer adds up is a value
// of the layer before, read from memory into all lanes, times a column of the weights. A block of samples of one row, four
// pairs of a sample and a neighbour each, passes one layer after the other, so the weights of a layer stay in registers
// or in the nearest cache. What the first layer makes of the latent code and all that is a product of weights and
// modulations is prepared once for an input pixel, for two rows of a strip of the window at a time. The last layer is
// linear, so the four predictions are blended before it. A pair's arithmetic is the same wherever it stands in a block:
// any split of a picture gives the same bits.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shared/lanes.h"
#include "modulated_mlp/modulated_mlp_cpu.h"

namespace lutra {
namespace {

#if defined(__AVX512F__)
constexpr int kPairs = 8;  // pairs in flight; the sixteen columns of a layer fill half the registers
#elif defined(__AVX2__)
constexpr int kPairs = 6;
#else
constexpr int kPairs = 2;
#endif
constexpr int kVectors = kUnits / kLanes;
constexpr int kGroup = 6;           // samples; their pairs are a multiple of kPairs
constexpr int kBlock = 4 * kGroup;  // samples that pass the layers together
constexpr int kStrip = 10 * kBlock;  // samples of a row, at most, whose neighbours are prepared together,
constexpr int kSlots = 20;           // and columns of the window, at most, that these are

static_assert(kGroup * kNeighbours % kPairs == 0 && kBlock % kGroup == 0 && kBlock % 4 == 0 && kStrip % kBlock == 0);

typedef float Quad __attribute__((vector_size(16)));

#if defined(__AVX2__)  // where a vector is no quad
LUTRA_LOOP Quad multiply_add(const Quad& a, const Quad& b, const Quad& sum) { return _mm_fmadd_ps(a, b, sum); }
#endif

// ---- Input pixels --------------------------------------------------------------------------------------------------

// What an input pixel adds to the arithmetic of the samples around it.
struct alignas(64) Pixel {
  float own[kUnits];                  // the first layer, scaled and shifted, at the pixel itself,
  float down[kUnits], right[kUnits];  // and how it grows on the way
  float gain[kHidden - 1][kUnits];    // of the other layers: 1 + scale,
  float offset[kHidden - 1][kUnits];  // and what their bias and shift come to

  LUTRA_LOOP void prepare(const MlpWeights& weights, const float* modulations) {
    for (int unit = 0; unit < kUnits; unit += kLanes) {
      Vector sum = load(weights.bias[0] + unit);
      LUTRA_UNROLL
      for (int i = 0; i < kUnits; ++i) {
        sum = multiply_add(load(weights.first[i] + unit), everywhere(modulations[kLatent + i]), sum);
      }
      const Vector first = load(modulations + unit) + 1.0f;
      store(own + unit, multiply_add(sum, first, load(modulations + kShifts + unit)));
      store(down + unit, load(weights.first[kUnits] + unit) * first);
      store(right + unit, load(weights.first[kUnits + 1] + unit) * first);
      LUTRA_UNROLL
      for (int layer = 1; layer < kHidden; ++layer) {
        const Vector factor = load(modulations + layer * kUnits + unit) + 1.0f;
        const Vector shift = load(modulations + kShifts + layer * kUnits + unit);
        store(gain[layer - 1] + unit, factor);
        store(offset[layer - 1] + unit, multiply_add(load(weights.bias[layer] + unit), factor, shift));
      }
    }
  }
};

LUTRA_LOOP void widen_all(const Bfloat16* from, float (&to)[kModulations]) {
  for (int i = 0; i < kModulations; ++i) {
    const unsigned bits = unsigned(from[i].bits) << 16;
    std::memcpy(to + i, &bits, sizeof bits);
  }
}

// ---- A strip of columns --------------------------------------------------------------------------------------------

// Samples of a row, and the columns of the window that are around them. A column has a slot among the prepared pixels;
// one that comes back after others have followed may have two.
struct Strip {
  int first, count;
  int slots;
  int column[kSlots];
  std::int32_t slot[kStrip][2];
  float way[kStrip][2], share[kStrip][2];

  LUTRA_LOOP void begin(const MlpJob& job, int from) {
    first = from, count = 0, slots = 0;
    while (count < kStrip && first + count < job.cols.count && slots + 2 <= kSlots) {
      const int at = first + count;
      const Neighbours both = neighbours(job.cols.floor[at], job.cols.part[at], job.width);
      for (int far = 0; far < 2; ++far) {
        slot[count][far] = slot_of(both.pixel[far]);
        way[count][far] = both.way[far];
        share[count][far] = both.share[far];
      }
      ++count;
    }
    // Whole groups, the last sample once more.
    for (int i = count; i % kGroup; ++i) {
      std::memcpy(slot[i], slot[count - 1], sizeof slot[i]);
      std::memcpy(way[i], way[count - 1], sizeof way[i]);
      std::memcpy(share[i], share[count - 1], sizeof share[i]);
    }
  }

 private:
  LUTRA_LOOP std::int32_t slot_of(int pixel) {
    for (int back = 1; back <= 2 && back <= slots; ++back) {
      if (column[slots - back] == pixel) return slots - back;
    }
    column[slots] = pixel;
    return slots++;
  }
};

// Two rows of the window, prepared where a strip needs them.
struct Rows {
  int row[2];
  Pixel pixels[2][kSlots];

  LUTRA_LOOP void forget() { row[0] = row[1] = -1; }

  // `other` is a row that stays.
  LUTRA_LOOP const Pixel* find(const MlpJob& job, const Strip& strip, int wanted, int other) {
    if (row[0] == wanted) return pixels[0];
    if (row[1] == wanted) return pixels[1];
    const int which = row[0] == other ? 1 : 0;
    row[which] = wanted;
    float wide[kModulations];
    for (int slot = 0; slot < strip.slots; ++slot) {
      const std::size_t at = std::size_t(wanted) * job.width + strip.column[slot];
      Pixel& to = pixels[which][slot];
      const float* modulations = static_cast<const float*>(job.modulations) + at * kModulations;
      if (job.of_bfloat16) {
        widen_all(static_cast<const Bfloat16*>(job.modulations) + at * kModulations, wide);
        modulations = wide;
      }
      to.prepare(*job.weights, modulations);
    }
    return pixels[which];
  }
};

// ---- Samples -------------------------------------------------------------------------------------------------------

// Samples of one row between the same two rows of the window, as they pass the layers.
struct Block {
  const Pixel* neighbour[kBlock * kNeighbours];
  alignas(64) float units[kBlock * kNeighbours][kUnits];
  float share[kBlock * kNeighbours];
  alignas(64) float colours[kBlock][4];

  LUTRA_LOOP void enter(const Strip& strip, int from, int count, const Pixel* const (&rows)[2], const Neighbours& row) {
    for (int i = 0; i < count; ++i) {
      LUTRA_UNROLL
      for (int corner = 0; corner < kNeighbours; ++corner) {
        const int down = corner >> 1, right = corner & 1, pair = kNeighbours * i + corner;
        const Pixel* pixel = rows[down] + strip.slot[from + i][right];
        neighbour[pair] = pixel;
        share[pair] = row.share[down] * strip.share[from + i][right];
        const Vector below = everywhere(row.way[down]), beside = everywhere(strip.way[from + i][right]);
        LUTRA_UNROLL
        for (int unit = 0; unit < kUnits; unit += kLanes) {
          const Vector column = multiply_add(load(pixel->down + unit), below, load(pixel->own + unit));
          store(units[pair] + unit, rectified(multiply_add(load(pixel->right + unit), beside, column)));
        }
      }
    }
  }

  // One layer: each pair's sixteen units, weighted column by column.
  __attribute__((noinline)) void pass(const float (&columns)[kUnits][kUnits], int layer, int pairs) {
    Vector held[kUnits];
    if constexpr (kVectors == 1) {
      LUTRA_UNROLL
      for (int j = 0; j < kUnits; ++j) held[j] = load(columns[j]);
    }
    for (int pair = 0; pair < pairs; pair += kPairs) {
      Vector sums[kPairs][kVectors];
      LUTRA_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        LUTRA_UNROLL
        for (int v = 0; v < kVectors; ++v) sums[p][v] = Vector{};
      }
      const auto add = [&](int j) __attribute__((always_inline)) {
        Vector column[kVectors];
        LUTRA_UNROLL
        for (int v = 0; v < kVectors; ++v) column[v] = kVectors == 1 ? held[j] : load(columns[j] + v * kLanes);
        LUTRA_UNROLL
        for (int p = 0; p < kPairs; ++p) {
          const Vector value = everywhere(units[pair + p][j]);
          LUTRA_UNROLL
          for (int v = 0; v < kVectors; ++v) sums[p][v] = multiply_add(column[v], value, sums[p][v]);
        }
      };
      if constexpr (kVectors == 1) {
        LUTRA_UNROLL
        for (int j = 0; j < kUnits; ++j) add(j);
      } else {
        for (int j = 0; j < kUnits; ++j) add(j);
      }
      LUTRA_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        const Pixel& pixel = *neighbour[pair + p];
        LUTRA_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          const Vector gain = load(pixel.gain[layer] + v * kLanes);
          const Vector offset = load(pixel.offset[layer] + v * kLanes);
          store(units[pair + p] + v * kLanes, rectified(multiply_add(sums[p][v], gain, offset)));
        }
      }
    }
  }

  // The last layer of the blended predictions.
  LUTRA_LOOP void leave(const MlpWeights& weights, int count) {
    for (int from = 0; from < count; from += kGroup) {
      float blended[kGroup][kUnits];
      Quad colour[kGroup];
      LUTRA_UNROLL
      for (int i = 0; i < kGroup; ++i) {
        const int pair = kNeighbours * (from + i);
        LUTRA_UNROLL
        for (int unit = 0; unit < kUnits; unit += kLanes) {
          Vector sum = load(units[pair] + unit) * everywhere(share[pair]);
          LUTRA_UNROLL
          for (int corner = 1; corner < kNeighbours; ++corner) {
            sum = multiply_add(load(units[pair + corner] + unit), everywhere(share[pair + corner]), sum);
          }
          store(blended[i] + unit, sum);
        }
        colour[i] = quad(weights.last_bias);
      }
      for (int j = 0; j < kUnits; ++j) {
        LUTRA_UNROLL
        for (int i = 0; i < kGroup; ++i) colour[i] = multiply_add(quad(weights.last[j]), all(blended[i][j]), colour[i]);
      }
      std::memcpy(colours[from], colour, sizeof colour);
    }
  }

  // To three planes of samples, added to those of the base.
  LUTRA_LOOP void write(const float* base, float* out, std::size_t plane, int count) const {
    for (int c = 0; c < kColours; ++c) {
      for (int i = 0; i < count; ++i) out[c * plane + i] = base[c * plane + i] + colours[i][c];
    }
  }

 private:
  static LUTRA_LOOP Quad quad(const float* from) {
    Quad values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
  static LUTRA_LOOP Quad all(float value) { return Quad{value, value, value, value}; }
};

LUTRA_LOOP void render_row(const MlpJob& job, const Strip& strip, const Pixel* const (&rows)[2],
                           const Neighbours& place, int row, Block& block) {
  const std::size_t plane = std::size_t(job.rows.count) * job.cols.count;
  const std::size_t start = std::size_t(row) * job.cols.count + strip.first;
  for (int from = 0; from < strip.count; from += kBlock) {
    const int left = strip.count - from, count = left < kBlock ? left : kBlock;
    const int whole = (count + kGroup - 1) / kGroup * kGroup;
    block.enter(strip, from, whole, rows, place);
    for (int layer = 0; layer < kHidden - 1; ++layer) {
      block.pass(job.weights->hidden[layer], layer, whole * kNeighbours);
    }
    block.leave(*job.weights, whole);
    block.write(job.base + start + from, job.out + start + from, plane, count);
  }
}

inline void render(const MlpJob& job, int first, int last) {
  Strip strip;
  Rows prepared;
  Block block;
  for (int column = 0; column < job.cols.count; column += strip.count) {
    strip.begin(job, column);
    prepared.forget();
    for (int row = first; row < last; ++row) {
      const Neighbours place = neighbours(job.rows.floor[row], job.rows.part[row], job.height);
      const Pixel* const rows[2] = {prepared.find(job, strip, place.pixel[0], place.pixel[1]),
                                    prepared.find(job, strip, place.pixel[1], place.pixel[0])};
      render_row(job, strip, rows, place, row, block);
    }
  }
}

}  // namespace
}  // namespace lutra
