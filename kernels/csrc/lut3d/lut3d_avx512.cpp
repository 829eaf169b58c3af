// The 16-bit look-up with AVX-512 (BW, VL, VBMI, VNNI): sixteen pixels at a time.
//
// Two passes over a chunk that stays in the first cache, so that no load of a node waits for its address: the first
// finds places and weights, one pixel in each 32-bit lane (the two neighbours along green in its 16-bit halves); the
// second sums. There a pixel takes two 128-bit lanes, its two neighbours along red, and the red, green and blue sums
// stand in the 32-bit lanes of each. Group k of a block is pixels k, 4 + k, 8 + k, 12 + k: so the packed codes come out
// in order.
#include <immintrin.h>

#include "lut3d/lut3d_runs.h"

namespace lutra {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kChunk = 256;
constexpr __mmask64 kBlockBytes = (1ull << 48) - 1;
constexpr __mmask32 kFirstHalves = 0x55555555u;

inline std::size_t least(std::size_t a, std::size_t b) { return a < b ? a : b; }

struct Constants {
  __m512i channel[3];   // byte shuffles: one colour four times in each lane
  __m512i drop_fourth;  // byte shuffle: 0 1 2, 4 5 6, ...
  __m512i spread[8];    // lane shuffles: the weights of two pixels, k and 4 + k or 8 + k and 12 + k, to their sums
  __m512i cells;        // nodes - 1, in 16 bits
  __m512i red_green;    // pairs (1, nodes)
  __m512i blue;         // pairs (nodes nodes, 0)
  __m512i one;          // the weight 1
  __m512 scale, middle;
  const char* near;     // the table
  const char* far;      // one node on along blue
};

Constants constants(const FixedTable& table) {
  alignas(64) unsigned char bytes[4][64] = {};
  alignas(64) int lanes[8][16];
  for (std::size_t pixel = 0; pixel < kBlock; ++pixel) {
    for (std::size_t byte = 0; byte < 4; ++byte) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        bytes[channel][4 * pixel + byte] = std::uint8_t(3 * pixel + channel);
      }
      if (byte < 3) bytes[3][3 * pixel + byte] = std::uint8_t(4 * pixel + byte);
    }
  }
  for (int shuffle = 0; shuffle < 8; ++shuffle) {
    for (int lane = 0; lane < 16; ++lane) lanes[shuffle][lane] = shuffle % 4 + 8 * (shuffle / 4) + 4 * (lane / 8);
  }
  const int nodes = table.nodes;
  Constants c;
  for (int channel = 0; channel < 3; ++channel) c.channel[channel] = _mm512_load_si512(bytes[channel]);
  c.drop_fourth = _mm512_load_si512(bytes[3]);
  for (int shuffle = 0; shuffle < 8; ++shuffle) c.spread[shuffle] = _mm512_load_si512(lanes[shuffle]);
  c.cells = _mm512_set1_epi16(short(nodes - 1));
  c.red_green = _mm512_set1_epi32(nodes << 16 | 1);
  c.blue = _mm512_set1_epi32(nodes * nodes);
  c.one = _mm512_set1_epi16(kFixedOne);
  c.scale = _mm512_set1_ps(table.scale);
  c.middle = _mm512_set1_ps(table.middle);
  c.near = reinterpret_cast<const char*>(table.entries);
  c.far = c.near + sizeof(std::int16_t) * kFixedEntries * std::size_t(nodes) * std::size_t(nodes);
  return c;
}

// Of one colour of sixteen pixels, twice in each lane: cells, and the parts as 1/65536 of a cell (1/65535 at its end).
struct Axis {
  __m512i cell, part;
};

inline Axis axis(__m512i pixels, __m512i shuffle, __m512i cells) {
  const __m512i value = _mm512_permutexvar_epi8(shuffle, pixels);  // twice: value 257
  const __m512i cell = _mm512_mulhi_epu16(value, cells);
  return {cell, _mm512_add_epi16(_mm512_mullo_epi16(value, cells), cell)};
}

// What the sums need of a block of pixels.
struct alignas(64) Places {
  std::uint32_t node[kBlock];  // bytes from the start of the table
  __m512i near, far;           // weights along blue, both neighbours along green in each lane
  __m512 red;                  // parts along red
};

inline void find_places(const Constants& c, __m512i pixels, Places& places) {
  const Axis red = axis(pixels, c.channel[0], c.cells);
  const Axis green = axis(pixels, c.channel[1], c.cells);
  const Axis blue = axis(pixels, c.channel[2], c.cells);
  const __m512i red_green = _mm512_mask_blend_epi16(kFirstHalves, green.cell, red.cell);
  const __m512i node =
      _mm512_add_epi32(_mm512_madd_epi16(red_green, c.red_green), _mm512_madd_epi16(blue.cell, c.blue));
  _mm512_store_si512(places.node, _mm512_slli_epi32(node, 4));

  const __m512i green_part = _mm512_srli_epi16(green.part, 1), blue_part = _mm512_srli_epi16(blue.part, 1);
  const __m512i both_far = _mm512_mulhrs_epi16(green_part, blue_part);
  const __m512i blue_far = _mm512_sub_epi16(blue_part, both_far);
  const __m512i green_far = _mm512_sub_epi16(green_part, both_far);
  const __m512i both_near = _mm512_sub_epi16(_mm512_sub_epi16(c.one, green_part), blue_far);
  places.near = _mm512_mask_blend_epi16(kFirstHalves, green_far, both_near);
  places.far = _mm512_mask_blend_epi16(kFirstHalves, both_far, blue_far);
  places.red = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(red.part, 16)), _mm512_set1_ps(1.0f / 65535.0f));
}

inline __m512i two_nodes(const char* base, std::uint32_t first, std::uint32_t second) {
  const auto node = [=](std::uint32_t at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(base + at)); };
  return _mm512_inserti64x4(_mm512_castsi256_si512(node(first)), node(second), 1);
}

// Two pixels' sums, those of each neighbour along red apart.
inline __m512 two_sums(const Constants& c, const std::uint32_t* node, const Places& places, __m512i spread) {
  const __m512i near = _mm512_dpwssd_epi32(_mm512_setzero_si512(), two_nodes(c.near, node[0], node[4]),
                                           _mm512_permutexvar_epi32(spread, places.near));
  return _mm512_cvtepi32_ps(_mm512_dpwssd_epi32(near, two_nodes(c.far, node[0], node[4]),
                                                _mm512_permutexvar_epi32(spread, places.far)));
}

template <int k>
inline __m512i group(const Constants& c, const Places& places) {
  const __m512 first = two_sums(c, places.node + k, places, c.spread[k]);
  const __m512 second = two_sums(c, places.node + k + 8, places, c.spread[k + 4]);
  const __m512 near = _mm512_shuffle_f32x4(first, second, 0x88), far = _mm512_shuffle_f32x4(first, second, 0xdd);
  const __m512 red = _mm512_permute_ps(places.red, 0x55 * k);
  const __m512 sum = _mm512_fmadd_ps(_mm512_sub_ps(far, near), red, near);
  return _mm512_cvttps_epi32(_mm512_fmadd_ps(sum, c.scale, c.middle));
}

inline __m512i codes(const Constants& c, const Places& places) {
  const __m512i low = _mm512_packs_epi32(group<0>(c, places), group<1>(c, places));
  const __m512i high = _mm512_packs_epi32(group<2>(c, places), group<3>(c, places));
  return _mm512_permutexvar_epi8(c.drop_fourth, _mm512_packus_epi16(low, high));
}

// The bytes of the block at pixel `i` that lie before pixel `last`.
inline __mmask64 bytes_before(std::size_t i, std::size_t last) {
  return i + kBlock <= last ? kBlockBytes : (1ull << 3 * (last - i)) - 1;
}

}  // namespace

void fixed_run_avx512(const FixedTable& table, const std::uint8_t* in, std::uint8_t* out, std::size_t count) {
  const Constants c = constants(table);
  Places places[kChunk / kBlock];
  for (std::size_t first = 0; first < count; first += kChunk) {
    const std::size_t last = least(first + kChunk, count);
    for (std::size_t i = first; i < last; i += kBlock) {
      prefetch(in + 3 * (i + 2 * kChunk), out + 3 * (i + kChunk));
      find_places(c, _mm512_maskz_loadu_epi8(bytes_before(i, last), in + 3 * i), places[(i - first) / kBlock]);
    }
    for (std::size_t i = first; i < last; i += kBlock) {
      _mm512_mask_storeu_epi8(out + 3 * i, bytes_before(i, last), codes(c, places[(i - first) / kBlock]));
    }
  }
}

}  // namespace lutra
