// SPDX-License-Identifier: BSL-1.0
// table.hpp: what sysmon's clients print.
#pragma once

#include <span>
#include <string_view>

#include "messages.hpp"

namespace sysmon {

/// The whole picture: cores, memory, busiest processes.
void print_machine(const Load& load, std::span<const Core> cores);

/// The same on one line.
void print_line(const Load& load);

/// A process; `command` and `descriptors` are the parts of its tail.
void print_details(const Details& details, std::string_view command, std::string_view descriptors);

}  // namespace sysmon
