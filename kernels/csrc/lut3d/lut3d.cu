// The look-up of stored pictures (8 and 16 bits, three channels interleaved) on a CUDA device.
//
// A picture is a run of pixels. A warp takes a tile of 1,536 bytes: it loads it 16 bytes a thread into its own piece of
// shared memory, looks it up there three words at a time (four pixels of 8 bits or two of 16), and stores it the same
// way, so that every access to memory is whole. The table is read from a workspace that `lut3d_range` and `lut3d_pack`
// write: its range, its nodes as float4 and, where they fit, its cells. The arithmetic of a pixel stands in cells.h.
#include "lut3d/cells.h"

using namespace lutra;

namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kGroups = 4;                            // times three words a thread
constexpr int kTileWords = 3 * kWarp * kGroups;
constexpr int kTileBytes = 4 * kTileWords;

using Tiles = uint4[kThreads / kWarp][kTileBytes / 16];

// ---- Tiles: memory to shared memory and back ---------------------------------------------------------------------

// 16 bytes, of which the picture has `left`; beyond its end zeros.
__device__ void load_16(uint4* to, const unsigned char* from, long long left) {
  if (left >= 16) {
    *to = *reinterpret_cast<const uint4*>(from);
    return;
  }
  unsigned char* bytes = reinterpret_cast<unsigned char*>(to);
#pragma unroll 1
  for (int i = 0; i < 16; ++i) bytes[i] = i < left ? from[i] : (unsigned char)0;
}

__device__ void store_16(unsigned char* to, const uint4* from, long long left) {
  if (left >= 16) {
    *reinterpret_cast<uint4*>(to) = *from;
    return;
  }
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(from);
#pragma unroll 1
  for (int i = 0; i < left; ++i) to[i] = bytes[i];
}

// Looks up the tile of this warp; `look` turns three words into three words.
template <typename Look>
__device__ void look_up_tile(Tiles& tiles, const unsigned char* picture, unsigned char* out, long long bytes,
                             Look look) {
  const int warp = int(threadIdx.x) / kWarp, lane = int(threadIdx.x) % kWarp;
  const long long start = ((long long)blockIdx.x * (kThreads / kWarp) + warp) * kTileBytes;
  if (start >= bytes) return;
  uint4* tile = tiles[warp];
#pragma unroll
  for (int k = 0; k < kTileBytes / 16 / kWarp; ++k) {
    const int at = lane + k * kWarp;
    load_16(tile + at, picture + start + 16 * at, bytes - start - 16 * at);
  }
  __syncwarp();
  unsigned* words = reinterpret_cast<unsigned*>(tile) + 3 * lane;
#pragma unroll 2
  for (int group = 0; group < kGroups; ++group, words += 3 * kWarp) look(words);
  __syncwarp();
#pragma unroll
  for (int k = 0; k < kTileBytes / 16 / kWarp; ++k) {
    const int at = lane + k * kWarp;
    store_16(out + start + 16 * at, tile + at, bytes - start - 16 * at);
  }
}

// ---- Three words: four pixels of 8 bits, or two of 16 -----------------------------------------------------------

__device__ unsigned byte_of(const unsigned* word, int i) { return (word[i / 4] >> (8 * (i % 4))) & 0xffu; }
__device__ unsigned half_of(const unsigned* word, int i) { return (word[i / 2] >> (16 * (i % 2))) & 0xffffu; }

template <typename Pixel>
__device__ void look_up_bytes(unsigned* words, Pixel pixel) {
  const unsigned in[3] = {words[0], words[1], words[2]};
  int code[12];
#pragma unroll
  for (int p = 0; p < 4; ++p) pixel(byte_of(in, 3 * p), byte_of(in, 3 * p + 1), byte_of(in, 3 * p + 2), code + 3 * p);
#pragma unroll
  for (int k = 0; k < 3; ++k) words[k] = pack_bytes(code[4 * k], code[4 * k + 1], code[4 * k + 2], code[4 * k + 3]);
}

template <typename Pixel>
__device__ void look_up_halves(unsigned* words, Pixel pixel) {
  const unsigned in[3] = {words[0], words[1], words[2]};
  int code[6];
#pragma unroll
  for (int p = 0; p < 2; ++p) pixel(half_of(in, 3 * p), half_of(in, 3 * p + 1), half_of(in, 3 * p + 2), code + 3 * p);
#pragma unroll
  for (int k = 0; k < 3; ++k) words[k] = unsigned(code[2 * k]) | (unsigned(code[2 * k + 1]) << 16);
}

// ---- One pixel ---------------------------------------------------------------------------------------------------

__device__ void pixel_of_cells(const uint4* __restrict__ cells, int bias, int shift, unsigned red, unsigned green,
                               unsigned blue, int* code) {
  const uint4* cell = cells + 3 * cell_index(red, green, blue);
  const unsigned weights = cell_weights(red, green);
#pragma unroll
  for (int channel = 0; channel < 3; ++channel) {
    const uint4 w = cell[channel];
    code[channel] = cell_code(w.x, w.y, w.z, w.w, weights, blue, bias, shift);
  }
}

template <int top>
__device__ void pixel_of_nodes(const float4* __restrict__ nodes, int count, unsigned red, unsigned green, unsigned blue,
                               int* code) {
  const Place<float> r = code_place_by_product(red, count, top), g = code_place_by_product(green, count, top),
                     b = code_place_by_product(blue, count, top);
  const float4* at = nodes + (b.cell * count + g.cell) * count + r.cell;
  const int plane = count * count;
  const float4 c000 = at[0], c001 = at[1], c010 = at[count], c011 = at[count + 1];
  const float4 c100 = at[plane], c101 = at[plane + 1], c110 = at[plane + count], c111 = at[plane + count + 1];
#define LUTRA_CHANNEL(c) \
  int(to_code(trilinear(c000.c, c001.c, c010.c, c011.c, c100.c, c101.c, c110.c, c111.c, r.part, g.part, b.part), \
              float(top)))
  code[0] = LUTRA_CHANNEL(x);
  code[1] = LUTRA_CHANNEL(y);
  code[2] = LUTRA_CHANNEL(z);
#undef LUTRA_CHANNEL
}

__device__ int floor_code(float value) { return int(value > 0.0f ? (value < 255.0f ? value : 255.0f) : 0.0f); }

__device__ void pixel_of_texture(cudaTextureObject_t texture, float scale, float offset, unsigned red, unsigned green,
                                 unsigned blue, int* code) {
  const float4 blended = tex3D<float4>(texture, texel_place(red), texel_place(green), texel_place(blue));
  code[0] = floor_code(blended.x * scale + offset);
  code[1] = floor_code(blended.y * scale + offset);
  code[2] = floor_code(blended.z * scale + offset);
}

}  // namespace

// ---- The table -----------------------------------------------------------------------------------------------------

// One block, for a table that cells fit: how a table (3, nodes, nodes, nodes) is stored.
extern "C" __global__ void __launch_bounds__(1024) lut3d_range(const float* __restrict__ lut, int nodes, Range* range) {
  __shared__ float least[1024], largest[1024];
  const int values = 3 * nodes * nodes * nodes, mine = int(threadIdx.x);
  float low = lut[mine < values ? mine : 0], high = low;
#pragma unroll 8
  for (int i = mine + 1024; i < values; i += 1024) {
    low = fminf(low, lut[i]);
    high = fmaxf(high, lut[i]);
  }
  least[mine] = low;
  largest[mine] = high;
  for (int reach = 512; reach > 0; reach /= 2) {
    __syncthreads();
    if (mine >= reach) continue;
    least[mine] = fminf(least[mine], least[mine + reach]);
    largest[mine] = fmaxf(largest[mine], largest[mine + reach]);
  }
  if (mine == 0) *range = stored_range(least[0], largest[0], nodes);
}

// A thread a node and a thread a channel of a cell: the table as float4 nodes, and as cells where its range fits them.
extern "C" __global__ void __launch_bounds__(kThreads)
    lut3d_pack(const float* __restrict__ lut, int nodes, const Range* __restrict__ range, float4* out, uint4* cells) {
  const int i = int(blockIdx.x) * kThreads + int(threadIdx.x), volume = nodes * nodes * nodes;
  if (i < volume) out[i] = make_float4(lut[i], lut[volume + i], lut[2 * volume + i], 0.0f);
  if (i >= 3 * kCells * kCells * kCells || !cells || range->bits == 0) return;
  const int channel = i % 3, cell = i / 3;
  const CellWords words = cell_words(lut + channel * volume, nodes, cell % kCells, cell / kCells % kCells,
                                     cell / (kCells * kCells), *range);
  cells[i] = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
}

// A thread a texel: the corners of all cells, two an axis and cell, as four 16-bit values.
extern "C" __global__ void __launch_bounds__(kThreads)
    lut3d_texels(const float* __restrict__ lut, int nodes, const Range* __restrict__ range, ushort4* texels) {
  constexpr int kSide = 2 * kCells;
  const int i = int(blockIdx.x) * kThreads + int(threadIdx.x), volume = nodes * nodes * nodes;
  if (i >= kSide * kSide * kSide) return;
  const int red = i % kSide, green = i / kSide % kSide, blue = i / (kSide * kSide);
  const Corner r = corner_place(red / 2, red % 2, nodes), g = corner_place(green / 2, green % 2, nodes),
               b = corner_place(blue / 2, blue % 2, nodes);
  unsigned short value[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) value[c] = (unsigned short)stored_corner(lut + c * volume, nodes, r, g, b, *range);
  texels[i] = make_ushort4(value[0], value[1], value[2], 0);
}

// ---- Pictures ----------------------------------------------------------------------------------------------------

// 8 bits, by cells where the table's range fits them (range->bits > 0) and by nodes elsewhere.
extern "C" __global__ void __launch_bounds__(kThreads)
    lut3d_u8(const unsigned char* __restrict__ picture, unsigned char* __restrict__ out, long long bytes, int nodes,
             const Range* __restrict__ range, const float4* __restrict__ table, const uint4* __restrict__ cells) {
  __shared__ Tiles tiles;
  const Range stored = cells ? *range : Range{0.0f, 0};
  if (stored.bits > 0) {
    const int bias = cell_bias(stored), shift = cell_shift(stored);
    look_up_tile(tiles, picture, out, bytes, [=](unsigned* words) {
      look_up_bytes(words, [=](unsigned red, unsigned green, unsigned blue, int* code) {
        pixel_of_cells(cells, bias, shift, red, green, blue, code);
      });
    });
  } else {
    look_up_tile(tiles, picture, out, bytes, [=](unsigned* words) {
      look_up_bytes(words, [=](unsigned red, unsigned green, unsigned blue, int* code) {
        pixel_of_nodes<255>(table, nodes, red, green, blue, code);
      });
    });
  }
}

// 8 bits, by the texture unit's own blend of the corners (lut3d_texels).
extern "C" __global__ void __launch_bounds__(kThreads)
    lut3d_u8_texture(const unsigned char* __restrict__ picture, unsigned char* __restrict__ out, long long bytes,
                     cudaTextureObject_t texture, const Range* __restrict__ range) {
  __shared__ Tiles tiles;
  const float scale = 65535.0f / float(1 << range->bits), offset = range->low + 0.5f;
  look_up_tile(tiles, picture, out, bytes, [=](unsigned* words) {
    look_up_bytes(words, [=](unsigned red, unsigned green, unsigned blue, int* code) {
      pixel_of_texture(texture, scale, offset, red, green, blue, code);
    });
  });
}

// 16 bits, by nodes.
extern "C" __global__ void __launch_bounds__(kThreads)
    lut3d_u16(const unsigned char* __restrict__ picture, unsigned char* __restrict__ out, long long bytes, int nodes,
              const float4* __restrict__ table) {
  __shared__ Tiles tiles;
  look_up_tile(tiles, picture, out, bytes, [=](unsigned* words) {
    look_up_halves(words, [=](unsigned red, unsigned green, unsigned blue, int* code) {
      pixel_of_nodes<65535>(table, nodes, red, green, blue, code);
    });
  });
}
