// Which instruction sets this processor and its operating system run, out of those that this build has code for.
#pragma once

namespace lutra {

bool has_avx2();
bool has_avx512();  // all that CMakeLists.txt lets the compiler use in *_avx512.cpp
bool has_avx512bf16();  // that, and dot products of bfloat16

}  // namespace lutra
