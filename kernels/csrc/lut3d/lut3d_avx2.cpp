// The 16-bit look-up with AVX2: eight pixels at a time, in two passes as in lut3d_avx512.cpp; here one pixel fills a
// register in the second.
#include <immintrin.h>

#include <cstring>

#include "lut3d/lut3d_runs.h"

namespace lutra {
namespace {

constexpr std::size_t kBlock = 8, kBlockBytes = 3 * kBlock;
constexpr std::size_t kTouched = kBlockBytes + 4;  // bytes that a block reads and writes: the last four are the next's
constexpr std::size_t kChunk = 256;

inline std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

struct Constants {
  __m256i channel[3];   // byte shuffles: one colour four times in each lane
  __m256i drop_fourth;  // byte shuffle: 0 1 2, 4 5 6, ... of each half
  __m256i spread[8];    // lane shuffles: the weights of one pixel to all lanes of its sum
  __m256i cells;        // nodes - 1, in 16 bits
  __m256i red_green;    // pairs (1, nodes)
  __m256i blue;         // pairs (nodes nodes, 0)
  __m256i one;          // the weight 1
  __m256 scale, middle;
  const char* near;     // the table
  const char* far;      // one node on along blue
};

inline __m256i load(const void* p) { return _mm256_load_si256(static_cast<const __m256i*>(p)); }

Constants constants(const FixedTable& table) {
  alignas(32) unsigned char bytes[4][32];
  alignas(32) int lanes[8][8];
  std::memset(bytes, 0x80, sizeof bytes);
  for (std::size_t pixel = 0; pixel < kBlock; ++pixel) {
    const std::size_t half = 16 * (pixel / 4), within = pixel % 4;
    for (std::size_t byte = 0; byte < 4; ++byte) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        bytes[channel][half + 4 * within + byte] = std::uint8_t(3 * within + channel);
      }
      if (byte < 3) bytes[3][half + 3 * within + byte] = std::uint8_t(4 * within + byte);
    }
  }
  for (auto& lane : lanes) {
    for (int& from : lane) from = int(&lane - lanes);
  }
  const int nodes = table.nodes;
  Constants c;
  for (int channel = 0; channel < 3; ++channel) c.channel[channel] = load(bytes[channel]);
  c.drop_fourth = load(bytes[3]);
  for (std::size_t pixel = 0; pixel < kBlock; ++pixel) c.spread[pixel] = load(lanes[pixel]);
  c.cells = _mm256_set1_epi16(short(nodes - 1));
  c.red_green = _mm256_set1_epi32(nodes << 16 | 1);
  c.blue = _mm256_set1_epi32(nodes * nodes);
  c.one = _mm256_set1_epi16(kFixedOne);
  c.scale = _mm256_set1_ps(table.scale);
  c.middle = _mm256_set1_ps(table.middle);
  c.near = reinterpret_cast<const char*>(table.entries);
  c.far = c.near + sizeof(std::int16_t) * kFixedEntries * std::size_t(nodes) * std::size_t(nodes);
  return c;
}

// Of one colour of eight pixels, twice in each lane: cells, and the parts as 1/65536 of a cell (1/65535 at its end).
struct Axis {
  __m256i cell, part;
};

inline Axis axis(__m256i pixels, __m256i shuffle, __m256i cells) {
  const __m256i value = _mm256_shuffle_epi8(pixels, shuffle);  // twice: value 257
  const __m256i cell = _mm256_mulhi_epu16(value, cells);
  return {cell, _mm256_add_epi16(_mm256_mullo_epi16(value, cells), cell)};
}

// What the sums need of a block of pixels.
struct alignas(32) Places {
  std::uint32_t node[kBlock];  // bytes from the start of the table
  __m256i near, far;           // weights along blue, both neighbours along green in each lane
  __m256 red;                  // parts along red
};

inline void find_places(const Constants& c, const std::uint8_t* in, Places& places) {
  const auto half = [](const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
  const __m256i pixels = _mm256_inserti128_si256(_mm256_castsi128_si256(half(in)), half(in + 12), 1);
  const Axis red = axis(pixels, c.channel[0], c.cells);
  const Axis green = axis(pixels, c.channel[1], c.cells);
  const Axis blue = axis(pixels, c.channel[2], c.cells);
  const __m256i red_green = _mm256_blend_epi16(red.cell, green.cell, 0xaa);
  const __m256i node =
      _mm256_add_epi32(_mm256_madd_epi16(red_green, c.red_green), _mm256_madd_epi16(blue.cell, c.blue));
  _mm256_store_si256(reinterpret_cast<__m256i*>(places.node), _mm256_slli_epi32(node, 4));

  const __m256i green_part = _mm256_srli_epi16(green.part, 1), blue_part = _mm256_srli_epi16(blue.part, 1);
  const __m256i both_far = _mm256_mulhrs_epi16(green_part, blue_part);
  const __m256i blue_far = _mm256_sub_epi16(blue_part, both_far);
  const __m256i green_far = _mm256_sub_epi16(green_part, both_far);
  const __m256i both_near = _mm256_sub_epi16(_mm256_sub_epi16(c.one, green_part), blue_far);
  places.near = _mm256_blend_epi16(both_near, green_far, 0xaa);
  places.far = _mm256_blend_epi16(blue_far, both_far, 0xaa);
  places.red = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(red.part, 16)), _mm256_set1_ps(1.0f / 65535.0f));
}

// One pixel's sums, those of each neighbour along red apart.
inline __m256 sums(const Constants& c, const Places& places, int k) {
  const auto node = [&](const char* base) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + places.node[k]));
  };
  const __m256i near = _mm256_permutevar8x32_epi32(places.near, c.spread[k]);
  const __m256i far = _mm256_permutevar8x32_epi32(places.far, c.spread[k]);
  return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(near, node(c.near)), _mm256_madd_epi16(far, node(c.far))));
}

// Codes of pixels k and 4 + k, in 32 bits.
template <int k>
inline __m256i pair(const Constants& c, const Places& places) {
  const __m256 first = sums(c, places, k), second = sums(c, places, k + 4);
  const __m256 near = _mm256_permute2f128_ps(first, second, 0x20), far = _mm256_permute2f128_ps(first, second, 0x31);
  const __m256 red = _mm256_permute_ps(places.red, 0x55 * k);
  const __m256 sum = _mm256_fmadd_ps(_mm256_sub_ps(far, near), red, near);
  return _mm256_cvttps_epi32(_mm256_fmadd_ps(sum, c.scale, c.middle));
}

inline void write_codes(const Constants& c, const Places& places, std::uint8_t* out) {
  const __m256i low = _mm256_packs_epi32(pair<0>(c, places), pair<1>(c, places));
  const __m256i high = _mm256_packs_epi32(pair<2>(c, places), pair<3>(c, places));
  const __m256i dense = _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), c.drop_fourth);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(dense));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 12), _mm256_extracti128_si256(dense, 1));
}

// Fewer pixels than may be touched beyond: by way of a block of memory that may.
void last_pixels(const Constants& c, const std::uint8_t* in, std::uint8_t* out, std::size_t bytes) {
  while (bytes > 0) {
    std::uint8_t block[32] = {};
    Places places;
    const std::size_t size = least(bytes, kBlockBytes);
    std::memcpy(block, in, size);
    find_places(c, block, places);
    write_codes(c, places, block);
    std::memcpy(out, block, size);
    in += size, out += size, bytes -= size;
  }
}

}  // namespace

void fixed_run_avx2(const FixedTable& table, const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  const Constants c = constants(table);
  const std::size_t bytes = 3 * count;
  const std::size_t blocks = bytes < kTouched ? 0 : (bytes - kTouched) / kBlockBytes + 1;
  Places places[kChunk / kBlock];
  for (std::size_t first = 0; first < blocks; first += kChunk / kBlock) {
    const std::size_t last = least(first + kChunk / kBlock, blocks);
    for (std::size_t i = first; i < last; ++i) {
      prefetch(in + kBlockBytes * i + 6 * kChunk, out + kBlockBytes * i + 3 * kChunk);
      find_places(c, in + kBlockBytes * i, places[i - first]);
    }
    for (std::size_t i = first; i < last; ++i) write_codes(c, places[i - first], out + kBlockBytes * i);
  }
  last_pixels(c, in + kBlockBytes * blocks, out + kBlockBytes * blocks, bytes - kBlockBytes * blocks);
}

}  // namespace lutra
