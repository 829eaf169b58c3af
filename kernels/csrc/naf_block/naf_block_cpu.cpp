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

const NafLoops& loops_of([[maybe_unused]] NafPath path, [[maybe_unused]] bool of_bfloat16) {
#ifdef LUTRA_HAS_AVX512BF16
  if (path == NafPath::avx512bf16 && of_bfloat16 && has_avx512bf16()) return kNafAvx512Bf16;
#endif
#ifdef LUTRA_HAS_AVX512
  if (path >= NafPath::avx512 && has_avx512()) return kNafAvx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path != NafPath::portable && has_avx2()) return kNafAvx2;
#endif
  return kNafPortable;
}

// Zeros, from a multiple of kNafAlignment on.
class Room {
 public:
  explicit Room(std::size_t bytes) : memory_(std::make_unique<char[]>(bytes + kNafAlignment)) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    begin_ = memory_.get() + (kNafAlignment - address % kNafAlignment) % kNafAlignment;
  }
  char* begin() const { return begin_; }

 private:
  std::unique_ptr<char[]> memory_;
  char* begin_;
};

void put(float from, float& to) { to = from; }
void put(Bfloat16 from, float& to) { to = widen(from); }
void put(Bfloat16 from, Bfloat16& to) { to = from; }

// ---- Layout --------------------------------------------------------------------------------------------------------

// Which output stands at a place: in pairs of vectors, of the first half of the outputs and of the second, or in turn.
std::size_t paired(std::size_t place, std::size_t channels, std::size_t lanes) {
  return place / lanes % 2 * channels + place / (2 * lanes) * lanes + place % lanes;
}
std::size_t in_turn(std::size_t place, std::size_t, std::size_t) { return place; }
using OutputAt = std::size_t (*)(std::size_t place, std::size_t channels, std::size_t lanes);

template <typename T>
class Packer {
 public:
  Packer(const NafCall<T>& call, const NafLoops& loops)
      : loops_(loops), c_(call.size.channels), room_(bytes(call.size)), next_(room_.begin()) {
    const NafLayers<T>& l = call.layers;
    const std::size_t codes = call.size.count * c_;
    packed_.conv1 = weights(l.conv1, 2 * c_, paired);
    packed_.conv4 = weights(l.conv4, 2 * c_, paired);
    packed_.conv3 = weights(l.conv3, c_, in_turn);
    packed_.conv5 = weights(l.conv5, c_, in_turn);
    packed_.conv1_bias = biases(l.conv1_bias);
    packed_.conv4_bias = biases(l.conv4_bias);
    packed_.taps = taps(l.conv2);
    packed_.taps_bias = biases(l.conv2_bias);
    packed_.norm1_gain = numbers(l.norm1_gain, c_);
    packed_.norm1_offset = numbers(l.norm1_offset, c_);
    packed_.norm2_gain = numbers(l.norm2_gain, c_);
    packed_.norm2_offset = numbers(l.norm2_offset, c_);
    packed_.conv3_bias = numbers(l.conv3_bias, c_);
    packed_.beta = numbers(l.beta, c_);
    packed_.conv5_bias = numbers(l.conv5_bias, c_);
    packed_.gamma = numbers(l.gamma, c_);
    packed_.factor = numbers(call.scale, codes, 1.0f);
    packed_.shift = numbers(call.shift, codes);
  }

  const NafPacked& packed() const { return packed_; }

 private:
  // Of a multiple of kNafLanes floats each, so that all begin where vectors do.
  std::size_t bytes(const NafSize& size) const { return (6 * c_ + 32 + 2 * size.count) * c_ * sizeof(float); }

  template <typename To>
  To* cut(std::size_t count) {
    To* const begin = reinterpret_cast<To*>(next_);
    next_ += count * sizeof(To);
    return begin;
  }

  const void* weights(const T* from, std::size_t outputs, OutputAt output_at) {
    if constexpr (sizeof(T) == sizeof(Bfloat16)) {
      if (loops_.of_pairs) return panels<Bfloat16>(from, outputs, output_at);
    }
    return panels<float>(from, outputs, output_at);
  }

  template <typename To>
  const To* panels(const T* from, std::size_t outputs, OutputAt output_at) {
    constexpr std::size_t pair = sizeof(float) / sizeof(To);
    To* const begin = cut<To>(outputs * c_);
    To* to = begin;
    for (std::size_t place = 0; place < outputs; place += 2 * loops_.lanes) {
      const std::size_t width = std::min(2 * loops_.lanes, outputs - place);
      const T* rows[2 * kNafLanes];
      for (std::size_t i = 0; i < width; ++i) rows[i] = from + output_at(place + i, c_, loops_.lanes) * c_;
      for (std::size_t k = 0; k < c_; k += pair) {
        for (std::size_t i = 0; i < width; ++i) {
          for (std::size_t j = k; j < k + pair; ++j) put(rows[i][j], *to++);
        }
      }
    }
    return begin;
  }

  // Of outputs that are gated.
  const float* biases(const T* from) {
    float* const to = cut<float>(2 * c_);
    for (std::size_t place = 0; place < 2 * c_; ++place) put(from[paired(place, c_, loops_.lanes)], to[place]);
    return to;
  }

  const float* taps(const T* from) {
    float* const begin = cut<float>(18 * c_);
    float* to = begin;
    for (std::size_t place = 0; place < 2 * c_; place += loops_.lanes) {
      const T* const own = from + paired(place, c_, loops_.lanes) * 9;
      for (std::size_t k = 0; k < 9; ++k) {
        for (std::size_t lane = 0; lane < loops_.lanes; ++lane) put(own[lane * 9 + k], *to++);
      }
    }
    return begin;
  }

  const float* numbers(const T* from, std::size_t count, float more = 0) {
    float* const to = cut<float>(count);
    for (std::size_t i = 0; i < count; ++i) {
      put(from[i], to[i]);
      to[i] += more;
    }
    return to;
  }

  const NafLoops& loops_;
  std::size_t c_;
  Room room_;
  char* next_;
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
  constexpr bool of_bfloat16 = sizeof(T) == sizeof(Bfloat16);
  const NafLoops& loops = loops_of(path, of_bfloat16);
  const Packer<T> packer(call, loops);
  const NafJob job{call.size, call.x, call.out, of_bfloat16, packer.packed()};
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
