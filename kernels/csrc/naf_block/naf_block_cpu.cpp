// Which loops of a NAF block this processor runs, on how many threads, and its layers laid out for them.
#include "naf_block/naf_block_cpu.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "shared/cpu_features.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kWorthAThread = 1 << 22;  // multiplications
constexpr std::size_t kLeastRows = 4;           // of a band: it makes two more of the first convolution's
constexpr std::size_t kAlignment = 64;          // bytes

const NafLoops& loops_of([[maybe_unused]] NafPath path) {
#ifdef LUTRA_HAS_AVX512
  if (path == NafPath::avx512 && has_avx512()) return kNafAvx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != NafPath::portable && has_avx2()) return kNafAvx2;
#endif
  return kNafPortable;
}

// Zeros, from a multiple of kAlignment on.
class Room {
 public:
  explicit Room(std::size_t floats) : memory_(std::make_unique<float[]>(floats + kAlignment / sizeof(float))) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    begin_ = memory_.get() + (kAlignment - address % kAlignment) % kAlignment / sizeof(float);
  }
  float* begin() const { return begin_; }

 private:
  std::unique_ptr<float[]> memory_;
  float* begin_;
};

float wide(float value) { return value; }
float wide(Bfloat16 value) { return widen(value); }

// ---- Layout --------------------------------------------------------------------------------------------------------

// Where output `i` of `outputs` stands, counted in outputs: its panel begins at `panel`, and it is number `lane` of
// `width` in it.
struct Slot {
  std::size_t panel, lane, width;
};

Slot paired(std::size_t i, std::size_t channels, std::size_t lanes) {
  const std::size_t half = i / channels, c = i % channels;
  return {c / lanes * 2 * lanes, half * lanes + c % lanes, 2 * lanes};
}

Slot in_turn(std::size_t i, std::size_t channels, std::size_t lanes) {
  const std::size_t panel = i / (2 * lanes) * 2 * lanes;
  return {panel, i - panel, std::min(2 * lanes, channels - panel)};
}

template <typename T>
class Packer {
 public:
  Packer(const NafCall<T>& call, std::size_t lanes)
      : call_(call), lanes_(lanes), c_(call.size.channels), room_(floats()), next_(room_.begin()) {
    const NafLayers<T>& l = call.layers;
    packed_.wide = pairs(l.conv1, l.conv1_bias, l.norm1_gain, l.norm1_offset, packed_.wide_bias);
    taps();
    packed_.second = pairs(l.conv4, l.conv4_bias, l.norm2_gain, l.norm2_offset, packed_.second_bias);
    packed_.last = next_;
    packed_.last_bias = next_ + c_ * c_;
    turn(l.conv5, l.conv5_bias, l.gamma, nullptr, nullptr, next_, next_ + c_ * c_);
    next_ += c_ * c_ + c_;
    packed_.back = next_;
    packed_.back_bias = next_ + call.size.count * c_ * c_;
    for (std::size_t n = 0; n < call.size.count; ++n) {
      turn(l.conv3, l.conv3_bias, l.beta, call.scale + n * c_, call.shift + n * c_, next_ + n * c_ * c_,
           next_ + call.size.count * c_ * c_ + n * c_);
    }
  }

  const NafPacked& packed() const { return packed_; }

 private:
  std::size_t floats() const { return 5 * c_ * c_ + 25 * c_ + call_.size.count * (c_ * c_ + c_); }

  // A product that is gated, after a norm: W (gain v + offset) + b.
  const float* pairs(const T* weights, const T* bias, const T* gain, const T* offset, const float*& packed_bias) {
    float* const to = next_;
    float* const sums = next_ + 2 * c_ * c_;
    next_ = sums + 2 * c_;
    packed_bias = sums;
    for (std::size_t i = 0; i < 2 * c_; ++i) {
      const Slot slot = paired(i, c_, lanes_);
      float* const column = to + slot.panel * c_ + slot.lane;
      float sum = wide(bias[i]);
      for (std::size_t k = 0; k < c_; ++k) {
        const float weight = wide(weights[i * c_ + k]);
        column[k * slot.width] = weight * wide(gain[k]);
        sum += weight * wide(offset[k]);
      }
      sums[slot.panel + slot.lane] = sum;
    }
    return to;
  }

  // The depthwise convolution, tap by tap.
  void taps() {
    float* const to = next_;
    float* const biases = next_ + 18 * c_;
    next_ = biases + 2 * c_;
    packed_.taps = to, packed_.taps_bias = biases;
    for (std::size_t i = 0; i < 2 * c_; ++i) {
      const Slot slot = paired(i, c_, lanes_);
      const std::size_t half = slot.lane / lanes_, lane = slot.lane % lanes_;
      for (std::size_t k = 0; k < 9; ++k) {
        to[slot.panel * 9 + (half * 9 + k) * lanes_ + lane] = wide(call_.layers.conv2[i * 9 + k]);
      }
      biases[slot.panel + slot.lane] = wide(call_.layers.conv2_bias[i]);
    }
  }

  // A product that is added, times a factor of its output: (W ((1 + scale) v + shift) + b) factor.
  void turn(const T* weights, const T* bias, const T* factor, const T* scale, const T* shift, float* to, float* sums) {
    for (std::size_t i = 0; i < c_; ++i) {
      const Slot slot = in_turn(i, c_, lanes_);
      float* const column = to + slot.panel * c_ + slot.lane;
      const float gain = wide(factor[i]);
      float sum = wide(bias[i]);
      for (std::size_t k = 0; k < c_; ++k) {
        const float weight = wide(weights[i * c_ + k]);
        column[k * slot.width] = weight * gain * (scale ? 1.0f + wide(scale[k]) : 1.0f);
        if (shift) sum += weight * wide(shift[k]);
      }
      sums[i] = sum * gain;
    }
  }

  const NafCall<T>& call_;
  std::size_t lanes_, c_;
  Room room_;
  float* next_;
  NafPacked packed_;
};

// ---- The call ------------------------------------------------------------------------------------------------------

int worthwhile(const NafSize& size, int threads) {
  const std::size_t rows = size.count * size.height, pixel = 6 * size.channels * size.channels + 18 * size.channels;
  const std::size_t worth = 1 + rows * size.width * pixel / kWorthAThread, bands = 1 + rows / kLeastRows;
  return int(std::min({worth, bands, std::size_t(std::max(threads, 1))}));
}

template <typename T>
void run(const NafCall<T>& call, int threads, NafPath path) {
  const NafLoops& loops = loops_of(path);
  const Packer<T> packer(call, loops.lanes);
  const NafJob job{call.size, call.x, call.out, sizeof(T) == 2, packer.packed()};
  in_bands(call.size.count * call.size.height, worthwhile(call.size, threads),
           [&](std::size_t first, std::size_t last) {
             const Room room(loops.room(call.size));
             loops.band(job, first, last, room.begin());
           });
}

}  // namespace

void naf_block(const NafCall<float>& call, int threads, NafPath path) { run(call, threads, path); }
void naf_block(const NafCall<Bfloat16>& call, int threads, NafPath path) { run(call, threads, path); }

}  // namespace lutra
