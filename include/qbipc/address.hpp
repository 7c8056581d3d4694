// SPDX-License-Identifier: BSL-1.0
// address.hpp: where a service listens: a name, a file, or a listening descriptor handed over by a service manager.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include <qbipc/config.hpp>

namespace qbipc {

/// An address. Implicit from a name: 1 to 90 bytes, no '/', no NUL, no leading dot; it is checked when it is used
/// (`bad_name`, `name_too_long`). A name is an abstract socket, or a file in a runtime directory while the flag file
/// exists. A path is always that file.
class Address {
public:
    enum class Form { name, path, descriptor };

    template <std::convertible_to<std::string_view> Text>
    Address(const Text& name) : Address(Form::name, std::string(std::string_view(name)), -1) {}

    /// The socket file at `file` (at most 107 bytes).
    static Address path(std::string_view file) { return {Form::path, std::string(file), -1}; }

    /// A stream socket that listens already (socket activation: the manager made it). For services only. The service
    /// takes the descriptor over and closes it; it never unlinks the file behind it.
    static Address listening_descriptor(int fd) { return {Form::descriptor, {}, fd}; }

    Form form() const noexcept { return form_; }
    const std::string& text() const noexcept { return text_; }
    int descriptor() const noexcept { return descriptor_; }

private:
    Address(Form form, std::string text, int descriptor)
        : form_(form), text_(std::move(text)), descriptor_(descriptor) {}

    Form form_;
    std::string text_;
    int descriptor_;
};

}  // namespace qbipc
