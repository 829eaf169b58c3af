// Work split over threads that live as long as one call: nothing to fork, nothing to shut down, no OpenMP runtime.
// It keeps no pool (workers fork) and knows nothing of pictures. For portable files only: see CMakeLists.txt.
#pragma once

#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace lutra {

// Calls f(begin, end) for bands that together cover [0, n), each on a thread of its own, the last on the caller's; at
// most `threads` bands, none of them empty. Returns when all are done; the exception of the first band that threw one
// reaches the caller. A thread that the system refuses is no error: the caller's thread does its work.
template <class F>
void in_bands(std::size_t n, int threads, F f) {
  if (n == 0) return;
  const std::size_t wanted = threads > 1 ? static_cast<std::size_t>(threads) : 1;
  const std::size_t bands = wanted < n ? wanted : n;
  if (bands == 1) {
    f(std::size_t{0}, n);
    return;
  }
  // Without a product that could overflow: the first `rest` bands are one longer.
  const std::size_t size = n / bands, rest = n % bands;
  const auto start = [=](std::size_t band) { return band * size + (band < rest ? band : rest); };
  std::vector<std::exception_ptr> thrown(bands);
  const auto run = [&](std::size_t band) noexcept {
    try {
      f(start(band), start(band + 1));
    } catch (...) {
      thrown[band] = std::current_exception();
    }
  };
  std::vector<std::thread> running;
  running.reserve(bands - 1);
  std::size_t band = 0;
  try {
    for (; band + 1 < bands; ++band) running.emplace_back(run, band);
  } catch (const std::system_error&) {
  }
  for (; band < bands; ++band) run(band);
  for (std::thread& thread : running) thread.join();
  for (const std::exception_ptr& exception : thrown) {
    if (exception) std::rethrow_exception(exception);
  }
}

}  // namespace lutra
