// SPDX-License-Identifier: BSL-1.0
// detail/unique_function.hpp: a function object that is moved, called and dropped; small ones without an allocation.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace qbipc::detail {

template <class Signature>
class UniqueFunction;

/// As C++23's std::move_only_function, for g++ 12. Callables up to 48 bytes whose move doesn't throw lie inside.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
    static constexpr std::size_t room = 48;
    template <class F>
    static constexpr bool fits =
        sizeof(F) <= room && alignof(F) <= alignof(std::max_align_t) && std::is_nothrow_move_constructible_v<F>;

public:
    UniqueFunction() noexcept = default;
    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction>)
    UniqueFunction(F&& f) {
        using Function = std::decay_t<F>;
        if constexpr (fits<Function>)
            ::new (static_cast<void*>(storage_)) Function(std::forward<F>(f));
        else
            ::new (static_cast<void*>(storage_)) Function*(new Function(std::forward<F>(f)));
        actions_ = &actions_for<Function>;
    }
    UniqueFunction(UniqueFunction&& other) noexcept : actions_(std::exchange(other.actions_, nullptr)) {
        if (actions_) actions_->move(other.storage_, storage_);
    }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            actions_ = std::exchange(other.actions_, nullptr);
            if (actions_) actions_->move(other.storage_, storage_);
        }
        return *this;
    }
    ~UniqueFunction() { reset(); }

    explicit operator bool() const noexcept { return actions_ != nullptr; }
    R operator()(Args... args) { return actions_->call(storage_, std::forward<Args>(args)...); }
    void reset() noexcept {
        if (const auto* actions = std::exchange(actions_, nullptr)) actions->drop(storage_);
    }

private:
    struct Actions {
        R (*call)(std::byte*, Args&&...);
        void (*move)(std::byte* from, std::byte* to) noexcept;  // and leaves nothing in `from`
        void (*drop)(std::byte*) noexcept;
    };
    template <class F>
    static F& stored(std::byte* storage) noexcept {
        if constexpr (fits<F>)
            return *std::launder(reinterpret_cast<F*>(storage));
        else
            return **std::launder(reinterpret_cast<F**>(storage));
    }
    template <class F>
    static constexpr Actions actions_for{
        [](std::byte* storage, Args&&... args) -> R { return stored<F>(storage)(std::forward<Args>(args)...); },
        [](std::byte* from, std::byte* to) noexcept {
            if constexpr (fits<F>) {
                ::new (static_cast<void*>(to)) F(std::move(stored<F>(from)));
                stored<F>(from).~F();
            } else {
                ::new (static_cast<void*>(to)) F*(&stored<F>(from));
            }
        },
        [](std::byte* storage) noexcept {
            if constexpr (fits<F>)
                stored<F>(storage).~F();
            else
                delete &stored<F>(storage);
        }};

    const Actions* actions_ = nullptr;
    alignas(std::max_align_t) std::byte storage_[room];
};

}  // namespace qbipc::detail
