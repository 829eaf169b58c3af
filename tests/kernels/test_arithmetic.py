"""Arithmetic that has a second text, for vectors or for a device, against the first: programs of C++ that compare both.

What is promised bit by bit is compared so; where the second text rounds otherwise, its header says how far it may be.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from kernels import cpu
from tests.kernels.test_build import CSRC, compiler, output_of

INSTRUCTIONS = {
    "portable": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": ("-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx512vbmi"),
}

BEGIN = r"""
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#define WANT(condition, ...) \
  if (!(condition)) std::printf("%s: ", #condition), std::printf(__VA_ARGS__), std::puts(""), std::exit(1)

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

std::mt19937 generator(1);
float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(generator); }
"""

CODES = r"""
#include "lut3d/cells.h"

int main() {
  for (int top : {255, 65535})
    for (int nodes : {2, 3, 5, 9, 17, 33, 64, 65, 129})
      for (int code = 0; code <= top; ++code) {
        const auto exact = lutra::code_place<float>(unsigned(code), unsigned(top), nodes);
        const auto fast = lutra::code_place_by_product(unsigned(code), nodes, top);
        WANT(fast.cell == exact.cell, "code %d of %d, %d nodes", code, top, nodes);
        WANT(std::fabs(fast.part - exact.part) <= exact.part * std::numeric_limits<float>::epsilon(),
             "code %d of %d, %d nodes: %a and %a", code, top, nodes, fast.part, exact.part);
      }
}
"""

SLOPES = r"""
#include "lut3d_float/lut3d_gradient.h"

// Corners and parts drawn by `draw`; the largest difference of the three slopes.
template <class Draw>
float difference(Draw draw, float& largest) {
  float c[8], part[3];
  largest = 0;
  for (float& corner : c) corner = draw(-8, 8), largest = std::fmax(largest, std::fabs(corner));
  for (float& one : part) one = draw(0, 1);
  const auto shared =
      lutra::trilinear_slopes(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], part[0], part[1], part[2]);
  const auto apart = lutra::channel_slopes(c, 2, lutra::Spot<float>{0, part[0], part[1], part[2]});
  return std::fmax(std::fmax(std::fabs(shared.red - apart.red), std::fabs(shared.green - apart.green)),
                   std::fabs(shared.blue - apart.blue));
}

int main() {
  float largest;
  for (int i = 0; i < 100000; ++i) {
    // Multiples of 1/16 with few digits: no operation rounds.
    const float exact = difference([](int low, int high) { return std::round(16 * uniform(low, high)) / 16; }, largest);
    WANT(exact == 0, "%a", exact);
    const float rounded = difference([](int low, int high) { return uniform(low, high); }, largest);
    WANT(rounded <= 8 * largest * std::numeric_limits<float>::epsilon(), "%a beside %a", rounded, largest);
  }
}
"""

DEFORM = r"""
#include "deform/deform_vectors.h"

float draw_offset(int i) {
  const float odd[] = {NAN,       INFINITY, -INFINITY, 1e38f,     -1e38f,   0x1p31f,
                       -0x1p31f, 0x1p24f,  -0.0f,     0x1p-149f, -0x1p-30f};
  if (i % 4 == 0) return odd[generator() % (sizeof odd / sizeof *odd)];
  if (i % 4 == 1) return float(int(generator() % 9) - 4);
  return uniform(-9, 9);
}

int main() {
  using namespace lutra;
  constexpr int kHeight = 7, kWidth = 45;
  float dy[kRun], dx[kRun];
  for (int round = 0; round < 3000; ++round) {
    const int tap = int(generator() % kTaps), row = int(generator() % kHeight), column = int(generator() % 20);
    const int count = 1 + int(generator() % (kWidth - column < kRun ? kWidth - column : kRun));
    for (int i = 0; i < count; ++i) dy[i] = draw_offset(round + i), dx[i] = draw_offset(round / 4 + i);
    Places places;
    places.find(dy, dx, row, column, tap, count, kHeight, kWidth);
    for (int i = 0; i < count; ++i) {
      const Cell<float> cell = find_cell(float(row + tap_row(tap)) + dy[i], float(column + i + tap_column(tap)) + dx[i],
                                         kHeight, kWidth);
      const Weights shares = weights(places, i, 1.0f);
      bool inside = false;
      for (int corner = 0; corner < kCellCorners; ++corner) {
        const int pixel = (cell.row + (corner >> 1)) * kWidth + cell.column + (corner & 1);
        WANT(places.corner[corner][i] == (cell.inside[corner] ? pixel : -1), "offset %a %a, corner %d", dy[i], dx[i],
             corner);
        inside = inside || cell.inside[corner];
      }
      if (!inside) continue;  // what weights zeros is not read
      WANT(same(places.down[i], cell.down) && same(places.right[i], cell.right), "offset %a %a", dy[i], dx[i]);
      for (int corner = 0; corner < kCellCorners; ++corner)
        WANT(same(shares.of[corner], cell_weight(corner, cell)), "offset %a %a, corner %d", dy[i], dx[i], corner);
    }
  }
  for (std::uint32_t upper = 0; upper < 65536; ++upper)
    for (std::uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const std::uint32_t bits = upper << 16 | lower;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      Bfloat16 halves[kLanes];
      Vector values;
      for (int i = 0; i < kLanes; ++i) values[i] = value;
      store(halves, values);
      WANT(halves[kLanes - 1].bits == narrow(value).bits, "%08x", bits);
      WANT(same(load(halves)[0], widen(halves[0])), "%08x", bits);
    }
}
"""

WIDE = r"""
#include "lut3d/lut3d_wide.h"

template <typename Code>
void compare(float value) {
  constexpr float top = Code(-1);
  Code codes[3];
  lutra::write_code<Code, float>(lutra::Quad<float>{value, -value, value / 3, 0}, codes);
  WANT(codes[0] == Code(lutra::to_code(value, top)), "%a", value);
  WANT(codes[1] == Code(lutra::to_code(-value, top)), "%a", value);
  WANT(codes[2] == Code(lutra::to_code(value / 3, top)), "%a", value);
}

int main() {
  for (int i = 0; i < 300000; ++i) {
    const float value = i % 8 == 0 ? uniform(-1e9f, 1e9f) : uniform(-0.5f, 1.5f);
    compare<std::uint8_t>(value);
    compare<std::uint16_t>(value);
  }
  for (int code = 0; code < 65536; ++code) {
    compare<std::uint16_t>(float(code) / 65535);
    compare<std::uint8_t>(float(code) / 510);
  }
}
"""


def run(source: str, folder: Path, instructions: str = "portable") -> None:
    if instructions not in cpu.paths() and instructions != "portable":
        pytest.skip(f"this processor or build has no {instructions}")
    program, text = folder / "program", folder / "program.cpp"
    text.write_text(BEGIN + source)
    flags = ("-std=c++20", "-O2", "-ffp-contract=off", *INSTRUCTIONS[instructions])
    output_of(compiler(), *flags, f"-I{CSRC}", text, "-o", program)
    output_of(program)


def test_places_of_codes_by_a_product_are_those_by_division_but_for_the_last_bit(tmp_path: Path) -> None:
    run(CODES, tmp_path)


def test_slopes_of_a_channel_are_those_of_the_shared_blend_but_for_rounding(tmp_path: Path) -> None:
    run(SLOPES, tmp_path)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these instruction sets are of x86-64")
@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_cells_of_taps_and_bfloat16_in_vectors_have_the_bits_of_single_ones(tmp_path: Path, instructions: str) -> None:
    run(DEFORM, tmp_path, instructions)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these instruction sets are of x86-64")
@pytest.mark.parametrize("instructions", ["portable", "avx2"])
def test_codes_in_vectors_are_those_of_single_values(tmp_path: Path, instructions: str) -> None:
    run(WIDE, tmp_path, instructions)
