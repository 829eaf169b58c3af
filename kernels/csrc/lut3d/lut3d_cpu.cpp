// Chooses how a table is read, and shares the pixels out among threads.
#include "lut3d/lut3d_cpu.h"

#include <algorithm>
#include <cmath>

#include "shared/cpu_features.h"
#include "lut3d/lut3d_table.h"
#include "shared/parallel.h"

namespace lutra {
namespace {

constexpr std::size_t kPixelsWorthAThread = 1 << 18;  // a fraction of a millisecond: what starting one costs is lost in it
constexpr float kFloatHolds = 16;  // beyond it float32 would lose codes where a large table crosses [0, 1]

// The fastest run of 16-bit integers that `path` allows; none where this processor or this build has none.
FixedRun* fixed_run(Path path) {
#ifdef LUTRA_HAS_AVX512
  if (path == Path::avx512 && has_avx512()) return fixed_run_avx512;
#endif
#ifdef LUTRA_HAS_AVX2
  if (path >= Path::avx2 && has_avx2()) return fixed_run_avx2;
#endif
  (void)path;
  return nullptr;
}

template <typename Code>
WideRun<Code, float>* wide_run(Path path) {
#ifdef LUTRA_HAS_AVX2
  if (path != Path::portable && has_avx2()) return wide_run_avx2;
#endif
  (void)path;
  return wide_run_portable;
}

template <typename Code, typename Table, typename Run>
void share_out(const Table& table, const Code* in, Code* out, std::size_t count, int threads, Run* run) {
  const std::size_t most = std::max<std::size_t>(1, count / kPixelsWorthAThread);
  in_bands(count, int(std::min<std::size_t>(std::size_t(std::max(1, threads)), most)),
           [&](std::size_t first, std::size_t last) { run(table, in + 3 * first, out + 3 * first, last - first); });
}

template <typename Code>
void apply_wide(const Code* in, Code* out, std::size_t count, const float* lut, int nodes, int threads, Path path,
                const TableFacts& facts) {
  if (std::max(std::fabs(facts.low), std::fabs(facts.high)) <= kFloatHolds) {
    Aligned<float> storage;
    return share_out(wide_table(lut, nodes, storage), in, out, count, threads, wide_run<Code>(path));
  }
  Aligned<double> storage;
  WideRun<Code, double>* const run = wide_run_portable;
  share_out(wide_table(lut, nodes, storage), in, out, count, threads, run);
}

}  // namespace

bool is_tame(const float* lut, int nodes) { return is_tame(table_facts(lut, nodes), nodes); }

void lut3d_apply(const std::uint8_t* in, std::uint8_t* out, std::size_t count, const float* lut, int nodes, int threads,
                 Path path) {
  const TableFacts facts = table_facts(lut, nodes);
  FixedRun* const run = fixed_run(path);
  if (!run || !is_tame(facts, nodes)) return apply_wide(in, out, count, lut, nodes, threads, path, facts);
  Aligned<std::int16_t> storage;
  share_out(fixed_table(lut, nodes, facts, storage), in, out, count, threads, run);
}

void lut3d_apply(const std::uint16_t* in, std::uint16_t* out, std::size_t count, const float* lut, int nodes,
                 int threads, Path path) {
  apply_wide(in, out, count, lut, nodes, threads, path, table_facts(lut, nodes));
}

}  // namespace lutra
