// A NAF block in vectors of the compiler's, as wide as the file that includes this may use.
//
// A band of rows is walked in strips of columns. Of the first convolution's rows the last three are held, in a ring, with
// zeros beyond the picture; once a row below is there, a row passes all that follows while it is in the nearest caches.
// Each number is made in one order wherever its pixel stands, so any split of a picture gives the same bits; a last group
// of pixels begins earlier, and makes some of them once more.
// Each file that includes this compiles its own copy (see CMakeLists.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "naf_block/naf_block_cpu.h"
#include "naf_block/naf_norm.h"
#include "naf_block/naf_product.h"
#include "shared/lanes.h"

namespace lutra {
namespace {

constexpr int kAcross = 4;   // pixels of the depthwise convolution in flight
constexpr Size kRing = 3;    // rows that are held
constexpr Size kStrip = 94;  // columns of a strip, at most: with one to each side whole groups of pixels
constexpr Size kSlack = 16;  // pixels of the largest group
static_assert(kSlack >= Size(kRows) && kSlack >= Size(kLanes) && kSlack >= Size(kAcross));

// ---- Where things lie ----------------------------------------------------------------------------------------------

LUTRA_LOOP Size strip_of(const NafSize& size) { return size.width < kStrip ? size.width : kStrip; }

// Pixels that a row has room for: its own, one to each side, and no fewer than a group.
LUTRA_LOOP Size room_across(const NafSize& size) { return strip_of(size) + 2 + kSlack; }

std::size_t room_of(const NafSize& size) {
  return room_across(size) * size.channels * (2 * sizeof(float) + 2 * sizeof(Operand) + 2 * kRing * sizeof(float));
}

// ---- Pixels in and out ---------------------------------------------------------------------------------------------

LUTRA_LOOP void bring(const float* from, Size count, float* to) { std::memcpy(to, from, count * sizeof(float)); }
LUTRA_LOOP void bring(const Bfloat16* from, Size count, float* to) {
  for (Size i = 0; i < count; ++i) {
    const unsigned bits = unsigned(from[i].bits) << 16;
    std::memcpy(to + i, &bits, sizeof bits);
  }
}
LUTRA_LOOP void take(const float* from, Size count, float* to) { std::memcpy(to, from, count * sizeof(float)); }
LUTRA_LOOP void take(const float* from, Size count, Bfloat16* to) {
  for (Size i = 0; i < count; ++i) {
    unsigned bits;
    std::memcpy(&bits, from + i, sizeof bits);
    const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, nan = (bits >> 16) | 0x40u;
    to[i].bits = (unsigned short)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
  }
}

// ---- The depthwise convolution -------------------------------------------------------------------------------------

// kAcross pixels of one vector of channels; `rows` begin one pixel to the left.
LUTRA_LOOP void convolve(const float* const (&rows)[kRing], const Vector (&taps)[9], const Vector& bias,
                         Vector (&sums)[kAcross]) {
  LUTRA_UNROLL
  for (int i = 0; i < kAcross; ++i) sums[i] = bias;
  LUTRA_UNROLL
  for (int down = 0; down < 3; ++down) {
    LUTRA_UNROLL
    for (int j = 0; j < kAcross + 2; ++j) {
      const Vector value = load(rows[down] + j * kPixel);
      LUTRA_UNROLL
      for (int right = 2; right >= 0; --right) {
        if (j - right >= 0 && j - right < kAcross) {
          sums[j - right] = multiply_add(value, taps[3 * down + right], sums[j - right]);
        }
      }
    }
  }
}

// Three rows (C / kLanes, room, 2, kLanes), of which pixels + 2 count -> (pixels, C), gated, times a factor and more.
__attribute__((noinline)) void convolve_and_gate(const float* const (&rows)[kRing], Size pixels, Size channels,
                                                 Size room, const NafPacked& packed, const float* factor,
                                                 const float* shift, Operand* to) {
  const float *taps = packed.taps, *bias = packed.taps_bias;
  for (Size c = 0; c < channels; c += kLanes, taps += 9 * kPixel, bias += kPixel) {
    const Vector by = load(factor + c), more = load(shift + c), biases[2] = {load(bias), load(bias + kLanes)};
    Vector weights[2][9];
    LUTRA_UNROLL
    for (int i = 0; i < 18; ++i) weights[i / 9][i % 9] = load(taps + i * kLanes);
    in_groups(pixels, kAcross, [&](Size at) __attribute__((always_inline)) {
      const Size place = c * 2 * room + at * kPixel;
      const float* const first[kRing] = {rows[0] + place, rows[1] + place, rows[2] + place};
      const float* const second[kRing] = {first[0] + kLanes, first[1] + kLanes, first[2] + kLanes};
      Vector sums[kAcross], others[kAcross];
      convolve(first, weights[0], biases[0], sums);
      convolve(second, weights[1], biases[1], others);
      LUTRA_UNROLL
      for (int i = 0; i < kAcross; ++i) {
        store(to + (at + i) * channels + c, multiply_add(sums[i] * others[i], by, more));
      }
    });
  }
}

// ---- A strip of columns --------------------------------------------------------------------------------------------

// A strip of one picture, from column `left` to `right` - 1; rows of room_across pixels.
template <typename T>
struct Strip {
  const NafJob& job;
  Size picture, left, right, room;
  float *given, *made;      // (room, C)
  Operand *normed, *gated;  // (room, C)
  float* ring[kRing];       // (C / kLanes, room, 2, kLanes), beginning one pixel to the left

  Strip(const NafJob& job, Size picture, char* memory) : job(job), picture(picture), room(room_across(job.size)) {
    const auto cut = [&]<typename Of>(Of*& row, Size numbers) {
      row = reinterpret_cast<Of*>(memory);
      memory += numbers * sizeof(Of);
    };
    const Size row = room * job.size.channels;
    cut(given, row), cut(made, row), cut(normed, row), cut(gated, row);
    for (float*& one : ring) cut(one, 2 * row);
  }

  LUTRA_LOOP Size place(Size row, Size column) const {
    return ((picture * job.size.height + row) * job.size.width + column) * job.size.channels;
  }
  LUTRA_LOOP float* held(Size row) const { return ring[(row + 1) % kRing]; }  // row -1 is the largest number, which wraps

  // Zeros in place of pixels that are held, counted from the strip's left neighbour.
  void clear(float* row, Size first, Size count) const {
    for (Size c = 0; c < job.size.channels; c += kLanes) {
      std::memset(row + c * 2 * room + first * kPixel, 0, count * kPixel * sizeof(float));
    }
  }

  // The first convolution's row, with zeros where the picture has none.
  void hold(Size row) {
    const NafSize& size = job.size;
    const NafPacked& packed = job.packed;
    float* const to = held(row);
    if (row >= size.height) return clear(to, 0, right - left + 2);
    const Size begin = left > 0 ? left - 1 : 0, end = right < size.width ? right + 1 : size.width;
    bring(static_cast<const T*>(job.x) + place(row, begin), (end - begin) * size.channels, given);
    normalise(given, end - begin, size.channels, packed.norm1_gain, packed.norm1_offset, normed);
    widen_channels(normed, end - begin, size.channels, static_cast<const Operand*>(packed.conv1), packed.conv1_bias,
                   to + (begin + 1 - left) * kPixel, room);
    if (left == 0) clear(to, 0, 1);
    if (right == size.width) clear(to, right - left + 1, 1);
  }

  // All that follows, once the rows around are held.
  void finish(Size row) {
    const NafPacked& packed = job.packed;
    const Size pixels = right - left, channels = job.size.channels, code = picture * channels;
    const float* const rows[kRing] = {held(row - 1), held(row), held(row + 1)};
    convolve_and_gate(rows, pixels, channels, room, packed, packed.factor + code, packed.shift + code, gated);
    bring(static_cast<const T*>(job.x) + place(row, left), pixels * channels, given);
    add_product(gated, pixels, channels, static_cast<const Operand*>(packed.conv3), packed.conv3_bias, packed.beta, given,
                made);
    normalise(made, pixels, channels, packed.norm2_gain, packed.norm2_offset, normed);
    widen_and_gate(normed, pixels, channels, static_cast<const Operand*>(packed.conv4), packed.conv4_bias, gated);
    add_product(gated, pixels, channels, static_cast<const Operand*>(packed.conv5), packed.conv5_bias, packed.gamma, made,
                given);
    take(given, pixels * channels, static_cast<T*>(job.out) + place(row, left));
  }
};

// Rows `top` to `bottom` - 1 of one picture.
template <typename T>
void walk(const NafJob& job, Size picture, Size top, Size bottom, char* room) {
  Strip<T> strip(job, picture, room);
  const Size across = strip_of(job.size);
  for (Size left = 0; left < job.size.width; left += across) {
    strip.left = left;
    strip.right = left + across < job.size.width ? left + across : job.size.width;
    strip.hold(top - 1);
    strip.hold(top);
    for (Size row = top; row < bottom; ++row) {
      strip.hold(row + 1);
      strip.finish(row);
    }
  }
}

void band(const NafJob& job, Size first, Size last, char* room) {
  const Size height = job.size.height;
  for (Size picture = first / height; picture * height < last; ++picture) {
    const Size start = picture * height, end = start + height;
    const Size top = (first > start ? first : start) - start, bottom = (last < end ? last : end) - start;
    job.of_bfloat16 ? walk<Bfloat16>(job, picture, top, bottom, room) : walk<float>(job, picture, top, bottom, room);
  }
}

constexpr NafLoops kLoops = {kLanes, kPair > 1, room_of, band};

}  // namespace
}  // namespace lutra
