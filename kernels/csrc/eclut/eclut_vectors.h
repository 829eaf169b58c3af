// Table super-resolution in registers of 128 and 256 bits: with AVX2, and with the permutations of AVX-512 where the
// compiler may use them.
#pragma once

#include <immintrin.h>

#include "eclut/eclut_strip.h"

namespace lutra {
namespace {

// ---- Step "lr": each large block gathers thirty-six blocks ------------------------------------------------------

template <int kScale>
struct Row {
  static constexpr int kBlock = kScale * kScale;
  static constexpr int kBytes = 9 * kBlock;
};

// Block `kPart` of a row, its entries in the first lanes; nothing beyond the row is read, what fills the other lanes is
// anything.
template <int kScale, int kPart>
inline __m256i block(const std::int8_t* row) {
  if constexpr (kScale == 3 && kPart == 8) {
    const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + Row<3>::kBytes - 16));
    return _mm256_cvtepi8_epi16(_mm_srli_si128(last, 16 - Row<3>::kBlock));
  } else if constexpr (kScale == 2 && kPart == 8) {
    std::int32_t last;
    std::memcpy(&last, row + 32, 4);
    return _mm256_castsi128_si256(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(last)));
  } else if constexpr (kScale == 2) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + kPart * 4));
    return _mm256_castsi128_si256(_mm_cvtepi8_epi16(bytes));
  } else {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + kPart * Row<kScale>::kBlock)));
  }
}

// Words in another order, a register's own number of them.
#if defined(__AVX512BW__) && defined(__AVX512VL__)
struct Pick {
  alignas(32) std::uint16_t from[16];
};

template <int kDirection, int kScale>
constexpr Pick pick() {
  Pick out{};
  for (int word = 0; word < 16; ++word) {
    const bool inside = word < kScale * kScale;
    out.from[word] = std::uint16_t(inside ? eclut_turned(kDirection, word / kScale, word % kScale, kScale) : word);
  }
  return out;
}

// A block as `kDirection` sees it, upright.
template <int kDirection, int kScale>
inline __m256i turn(__m256i words) {
  static constexpr Pick how = pick<kDirection, kScale>();
  return _mm256_permutexvar_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(how.from)), words);
}
#else
struct Pick {
  alignas(32) std::uint8_t same[32], other[32];  // bytes from the same and from the other half of the register
};

template <int kDirection, int kScale>
constexpr Pick pick() {
  Pick out{};
  for (int word = 0; word < 16; ++word) {
    const bool inside = word < kScale * kScale;
    const int from = inside ? eclut_turned(kDirection, word / kScale, word % kScale, kScale) : word;
    for (int byte = 0; byte < 2; ++byte) {
      const bool crosses = from / 8 != word / 8;
      out.same[2 * word + byte] = crosses ? 0x80 : std::uint8_t(2 * (from % 8) + byte);
      out.other[2 * word + byte] = crosses ? std::uint8_t(2 * (from % 8) + byte) : 0x80;
    }
  }
  return out;
}

// A block as `kDirection` sees it, upright.
template <int kDirection, int kScale>
inline __m256i turn(__m256i words) {
  static constexpr Pick how = pick<kDirection, kScale>();
  const __m256i same = _mm256_shuffle_epi8(words, _mm256_load_si256(reinterpret_cast<const __m256i*>(how.same)));
  if constexpr (kScale == 2) return same;
  const __m256i swapped = _mm256_permute2x128_si256(words, words, 1);
  const __m256i other = _mm256_shuffle_epi8(swapped, _mm256_load_si256(reinterpret_cast<const __m256i*>(how.other)));
  return _mm256_or_si256(same, other);
}
#endif

// What the pixel at (-kDown, -kRight) adds, in each direction's own orientation.
template <int kScale, int kDown, int kRight>
inline void gather(__m256i (&sums)[4], const std::int8_t* table, const std::uint32_t* places) {
  const auto add = [&]<int kDirection>() {
    constexpr int kPart = eclut_turned(kDirection, kDown + 1, kRight + 1, 3);
    const std::int8_t* row = table + places[kDirection * kValues + 3 * (1 - kRight)];
    sums[kDirection] = _mm256_add_epi16(sums[kDirection], block<kScale, kPart>(row));
    // One addition after the other: reordered by the compiler, the thirty-six blocks would not fit the registers.
    __asm__("" : "+v"(sums[kDirection]));
  };
  add.template operator()<0>();
  add.template operator()<1>();
  add.template operator()<2>();
  add.template operator()<3>();
}

// Sixteen sums, halved and a half added already, as codes.
inline __m128i codes_of(__m256i sums) {
  const __m256i halves = _mm256_max_epi16(sums, _mm256_setzero_si256());
  const __m256i codes = _mm256_mulhi_epu16(halves, _mm256_set1_epi16(short(kEclutReciprocal)));
  return _mm_packus_epi16(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
}

// The block of one colour of one pixel, in bytes.
template <int kScale>
inline __m128i large_block(const std::int8_t* table, const std::uint32_t* const (&places)[3], int value, int sum) {
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  gather<kScale, 1, 1>(sums, table, places[0] + value);
  gather<kScale, 1, 0>(sums, table, places[0] + value);
  gather<kScale, 1, -1>(sums, table, places[0] + value);
  gather<kScale, 0, 1>(sums, table, places[1] + value);
  gather<kScale, 0, 0>(sums, table, places[1] + value);
  gather<kScale, 0, -1>(sums, table, places[1] + value);
  gather<kScale, -1, 1>(sums, table, places[2] + value);
  gather<kScale, -1, 0>(sums, table, places[2] + value);
  gather<kScale, -1, -1>(sums, table, places[2] + value);
  const __m256i upright = _mm256_add_epi16(sums[0], turn<2, kScale>(sums[2]));
  const __m256i lying = _mm256_add_epi16(sums[1], turn<2, kScale>(sums[3]));
  const __m256i entries = _mm256_add_epi16(upright, turn<1, kScale>(lying));
  const __m256i halves = _mm256_mullo_epi16(entries, _mm256_set1_epi16(short(kEclutUnit)));
  return codes_of(_mm256_add_epi16(_mm256_set1_epi16(short(sum)), halves));
}

struct Weave {
  alignas(16) std::uint8_t from[3][16];
};

template <int kScale, int kRow>
constexpr Weave weave() {
  Weave out{};
  for (int byte = 0; byte < 16; ++byte) {
    for (int colour = 0; colour < 3; ++colour) {
      const bool mine = byte < 3 * kScale && byte % 3 == colour;
      out.from[colour][byte] = mine ? std::uint8_t(kRow * kScale + byte / 3) : 0x80;
    }
  }
  return out;
}

// One row of a pixel's blocks, its colours interleaved.
template <int kScale, int kRow>
inline void write_row(const __m128i (&blocks)[3], std::uint8_t* out) {
  static constexpr Weave how = weave<kScale, kRow>();
  __m128i woven = _mm_setzero_si128();
  for (int colour = 0; colour < 3; ++colour) {
    const __m128i from = _mm_load_si128(reinterpret_cast<const __m128i*>(how.from[colour]));
    woven = _mm_or_si128(woven, _mm_shuffle_epi8(blocks[colour], from));
  }
  const std::int64_t first = _mm_cvtsi128_si64(woven);
  const std::int32_t rest = _mm_extract_epi32(woven, 2);
  std::memcpy(out, &first, kScale == 2 ? 6 : 8);
  if constexpr (kScale > 2) std::memcpy(out + 8, &rest, 3 * kScale - 8);
}

template <int kScale>
inline void write_pixel(const __m128i (&blocks)[3], std::uint8_t* out, std::size_t stride) {
  write_row<kScale, 0>(blocks, out);
  write_row<kScale, 1>(blocks, out + stride);
  if constexpr (kScale > 2) write_row<kScale, 2>(blocks, out + 2 * stride);
  if constexpr (kScale > 3) write_row<kScale, 3>(blocks, out + 3 * stride);
}

template <int kScale>
void blocks_of_row(Strip& strip, int row) {
  const EclutJob& job = strip.job;
  const std::int8_t* table = static_cast<const std::int8_t*>(job.table);
  const std::uint32_t* const places[3] = {places_of(strip, row - 1), places_of(strip, row), places_of(strip, row + 1)};
  const std::size_t stride = std::size_t(job.width) * kScale * 3;
  std::uint8_t* out = job.out + row * kScale * stride + std::size_t(strip.left) * kScale * 3;
  std::int16_t sums[3 * kStrip];
  add_pixels(strip, row, sums);
  prefetch_first<Row<kScale>::kBytes, 2 + kEarly>(table, places[2]);
  for (int column = 0; column < strip.width; ++column) {
    __m128i blocks[3];
    for (int colour = 0; colour < 3; ++colour) {
      const int value = 3 * column + colour;
      prefetch<Row<kScale>::kBytes>(table, places[2] + value + 3 * (2 + kEarly));
      blocks[colour] = large_block<kScale>(table, places, value, sums[value]);
    }
    write_pixel<kScale>(blocks, out + column * kScale * 3, stride);
  }
}

template <int kScale>
void lr_band(const EclutJob& job, int first, int last) {
  walk<Row<kScale>::kBytes, kStrip>(job, first, last, [](Strip& strip, int row) { blocks_of_row<kScale>(strip, row); });
}

// ---- Step "hr": each pixel adds a square of scale + 2 values a side --------------------------------------------

constexpr int kSquareStrip = 64;  // pixels; what they add takes more room than their places

template <int kScale>
struct Square {
  static constexpr int kSide = kScale + 2;
  static constexpr int kBytes = 2 * kSide * kSide;
};

// What the pixels of a few rows add, all four directions together: a row of a square in eight words, the unused ones 0.
template <int kScale>
struct Squares {
  alignas(16) std::int16_t words[kPlaceRing][3 * (kSquareStrip + 2)][Square<kScale>::kSide][8];

  std::int16_t (*of_row(int row))[Square<kScale>::kSide][8] { return words[row & (kPlaceRing - 1)]; }
};

// For a row of the square: bounds of the entries, and what the pixel itself adds in four directions; 0 beyond it.
struct Lanes {
  alignas(16) std::int16_t low[8], high[8], pixel[8];
};

template <int kScale>
struct SquareLanes {
  Lanes row[Square<kScale>::kSide];
};

template <int kScale>
constexpr SquareLanes<kScale> square_lanes() {
  SquareLanes<kScale> out{};
  for (int row = 0; row < Square<kScale>::kSide; ++row) {
    for (int column = 0; column < Square<kScale>::kSide; ++column) {
      const int coverage = eclut_coverage(row, column, kScale);
      out.row[row].low[column] = std::int16_t(eclut_held(-32768, coverage));
      out.row[row].high[column] = std::int16_t(eclut_held(32767, coverage));
      out.row[row].pixel[column] = std::int16_t(2 * coverage);
    }
  }
  return out;
}

inline __m128i load(const void* words) { return _mm_load_si128(static_cast<const __m128i*>(words)); }
inline __m128i load_anywhere(const void* words) { return _mm_loadu_si128(static_cast<const __m128i*>(words)); }

// The first `kSide` words in reverse, the rest 0.
template <int kSide>
struct Reverse {
  alignas(16) std::uint8_t from[16];
};

template <int kSide>
constexpr Reverse<kSide> reverse() {
  Reverse<kSide> out{};
  for (int byte = 0; byte < 16; ++byte) {
    out.from[byte] = byte / 2 < kSide ? std::uint8_t(2 * (kSide - 1 - byte / 2) + byte % 2) : 0x80;
  }
  return out;
}

// Rows of one direction's square, held to their bounds; nothing beyond the square is read.
template <int kScale>
inline void read_square(const char* square, __m128i (&rows)[8]) {
  constexpr int kSide = Square<kScale>::kSide;
  static constexpr SquareLanes<kScale> how = square_lanes<kScale>();
  for (int row = 0; row < kSide; ++row) {
    constexpr int kLast = 2 * kSide * kSide - 16;
    const __m128i words = row < kSide - 1 ? load_anywhere(square + 2 * kSide * row)
                                          : _mm_srli_si128(load_anywhere(square + kLast), 16 - 2 * kSide);
    rows[row] = _mm_max_epi16(_mm_min_epi16(words, load(how.row[row].high)), load(how.row[row].low));
  }
}

// Adds `square` as it looks after a half turn.
template <int kScale>
inline void add_half_turned(const char* square, __m128i (&rows)[8]) {
  constexpr int kSide = Square<kScale>::kSide;
  static constexpr Reverse<kSide> how = reverse<kSide>();
  __m128i turned[8];
  read_square<kScale>(square, turned);
  for (int row = 0; row < kSide; ++row) {
    const __m128i words = _mm_shuffle_epi8(turned[kSide - 1 - row], load(how.from));
    rows[row] = _mm_add_epi16(rows[row], words);
  }
}

inline void transpose(__m128i (&rows)[8]) {
  __m128i twos[8], fours[8];
  for (int i = 0; i < 4; ++i) {
    twos[2 * i] = _mm_unpacklo_epi16(rows[2 * i], rows[2 * i + 1]);
    twos[2 * i + 1] = _mm_unpackhi_epi16(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int half = 0; half < 2; ++half) {
      fours[i + 2 * half] = _mm_unpacklo_epi32(twos[i + half], twos[i + half + 2]);
      fours[i + 2 * half + 1] = _mm_unpackhi_epi32(twos[i + half], twos[i + half + 2]);
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[2 * i] = _mm_unpacklo_epi64(fours[i], fours[i + 4]);
    rows[2 * i + 1] = _mm_unpackhi_epi64(fours[i], fours[i + 4]);
  }
}

// What one colour of one pixel adds.
template <int kScale>
inline void add_up_square(const char* table, const std::uint32_t* places, int pixel, std::int16_t (*out)[8]) {
  constexpr int kSide = Square<kScale>::kSide;
  static constexpr SquareLanes<kScale> how = square_lanes<kScale>();
  __m128i upright[8], lying[8], turned[8];
  read_square<kScale>(table + places[0], upright);
  add_half_turned<kScale>(table + places[2 * kValues], upright);
  read_square<kScale>(table + places[kValues], lying);
  add_half_turned<kScale>(table + places[3 * kValues], lying);
  for (int row = 0; row < 8; ++row) turned[row] = row < kSide ? lying[kSide - 1 - row] : _mm_setzero_si128();
  transpose(turned);
  for (int row = 0; row < kSide; ++row) {
    const __m128i itself = _mm_mullo_epi16(load(how.row[row].pixel), _mm_set1_epi16(short(pixel)));
    const __m128i sum = _mm_add_epi16(_mm_add_epi16(upright[row], turned[row]), itself);
    _mm_store_si128(reinterpret_cast<__m128i*>(out[row]), sum);
  }
}

template <int kScale>
void add_up_row(Strip& strip, int row, Squares<kScale>& squares) {
  const char* table = static_cast<const char*>(strip.job.table);
  const std::uint32_t* places = places_of(strip, row);
  const std::uint8_t* pixels = pixels_of(strip, row) + 3;
  prefetch_first<Square<kScale>::kBytes, kEarly>(table, places);
  for (int value = 0; value < 3 * (strip.width + 2); ++value) {
    prefetch<Square<kScale>::kBytes>(table, places + value + 3 * kEarly);
    add_up_square<kScale>(table, places + value, pixels[value], squares.of_row(row)[value]);
  }
}

// Row kRow of the large blocks of a row of pixels: what their squares and those above and below add to it, then what
// reaches over from the left and from the right.
template <int kScale, int kRow>
void finish_row(const Strip& strip, int row, Squares<kScale>& squares, std::uint8_t* out) {
  constexpr int kSide = Square<kScale>::kSide;
  alignas(16) std::int16_t lines[3 * (kSquareStrip + 2)][8];
  for (int value = 0; value < 3 * (strip.width + 2); ++value) {
    __m128i line = load(squares.of_row(row)[value][kRow + 1]);
    if constexpr (kRow == 0) line = _mm_add_epi16(line, load(squares.of_row(row - 1)[value][kSide - 1]));
    if constexpr (kRow == kScale - 1) line = _mm_add_epi16(line, load(squares.of_row(row + 1)[value][0]));
    _mm_store_si128(reinterpret_cast<__m128i*>(lines[value]), line);
  }
  for (int column = 0; column < strip.width; ++column) {
    __m128i codes[3];
    for (int colour = 0; colour < 3; ++colour) {
      const std::int16_t(*line)[8] = lines + 3 * (column + 1) + colour;
      const __m128i left = _mm_srli_si128(load(line[-3]), 2 * (kScale + 1));
      const __m128i right = _mm_slli_si128(load(line[3]), 2 * (kScale - 1));
      const __m128i sum = _mm_add_epi16(_mm_add_epi16(left, right), _mm_srli_si128(load(line[0]), 2));
      const __m128i halves = _mm_max_epi16(_mm_add_epi16(sum, _mm_set1_epi16(kEclutHalf)), _mm_setzero_si128());
      const __m128i words = _mm_mulhi_epu16(halves, _mm_set1_epi16(short(kEclutReciprocal)));
      codes[colour] = _mm_packus_epi16(words, words);
    }
    write_row<kScale, 0>(codes, out + column * kScale * 3);
  }
}

template <int kScale>
void finish(const Strip& strip, int row, Squares<kScale>& squares) {
  const EclutJob& job = strip.job;
  const std::size_t stride = std::size_t(job.width) * kScale * 3;
  std::uint8_t* out = job.out + row * kScale * stride + std::size_t(strip.left) * kScale * 3;
  finish_row<kScale, 0>(strip, row, squares, out);
  finish_row<kScale, 1>(strip, row, squares, out + stride);
  if constexpr (kScale > 2) finish_row<kScale, 2>(strip, row, squares, out + 2 * stride);
  if constexpr (kScale > 3) finish_row<kScale, 3>(strip, row, squares, out + 3 * stride);
}

template <int kScale>
void hr_band(const EclutJob& job, int first, int last) {
  Squares<kScale> squares;
  walk<Square<kScale>::kBytes, kSquareStrip>(job, first, last, [&](Strip& strip, int row) {
    if (row == first) {
      add_up_row<kScale>(strip, row - 1, squares);
      add_up_row<kScale>(strip, row, squares);
    }
    add_up_row<kScale>(strip, row + 1, squares);
    finish<kScale>(strip, row, squares);
  });
}

template <int kScale>
void band(const EclutJob& job, int first, int last) {
  job.step == EclutStep::lr ? lr_band<kScale>(job, first, last) : hr_band<kScale>(job, first, last);
}

inline void any_band(const EclutJob& job, int first, int last) {
  if (job.scale == 2) return band<2>(job, first, last);
  if (job.scale == 3) return band<3>(job, first, last);
  return band<4>(job, first, last);
}

}  // namespace
}  // namespace lutra
