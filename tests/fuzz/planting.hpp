// SPDX-License-Identifier: BSL-1.0
// planting.hpp: the mutator of all targets: what libFuzzer does by itself, and boundary values planted anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fuzz/boundaries.hpp"

extern "C" {
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed);
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

#ifdef QBIPC_FUZZING  // built with libFuzzer, which has LLVMFuzzerMutate
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
    if (seed % 4 != 0 || size == 0) return LLVMFuzzerMutate(data, size, most);
    const auto& values = qbipc::fuzz::boundary_values;
    const std::uint64_t value = values[(seed >> 2) % values.size()];
    const std::size_t width = std::size_t{1} << (seed >> 9) % 4;
    const std::size_t at = (seed >> 11) % size;
    if (at + width > most) return LLVMFuzzerMutate(data, size, most);
    std::memcpy(data + at, &value, width);
    return size < at + width ? at + width : size;
}

/// Of a run nothing is left but what it leaks: no long memory of who allocated what. ASAN_OPTIONS says otherwise.
const char* __asan_default_options();
const char* __asan_default_options() {
    return "malloc_context_size=0:quarantine_size_mb=1:detect_stack_use_after_return=0:allocator_may_return_null=1:"
           "max_malloc_fill_size=64";
}
#endif
}
