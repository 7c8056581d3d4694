// SPDX-License-Identifier: BSL-1.0
// detail/session_range.hpp: the open sessions of a service as a range, seen with one type of private data.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <vector>

#include <qbipc/detail/connection.hpp>

namespace qbipc {

template <TransportPolicy T, class Data>
class Session;

namespace detail {

template <TransportPolicy T>
using Connections = std::vector<std::unique_ptr<Connection<T>>>;

/// All open sessions of a service, seen with one type of private data. Sessions that end during the loop stay in place
/// until the end of the turn.
template <TransportPolicy T, class Data>
class SessionRange {
public:
    class Iterator {
    public:
        using value_type = Session<T, Data>;
        using reference = Session<T, Data>&;
        using pointer = Session<T, Data>*;
        using difference_type = std::ptrdiff_t;
        using iterator_category = std::input_iterator_tag;

        Iterator(const Connections<T>& all, std::size_t at, std::ptrdiff_t offset) noexcept
            : all_(&all), at_(at), offset_(offset) {
            skip();
        }
        Iterator(const Iterator& other) noexcept : all_(other.all_), at_(other.at_), offset_(other.offset_) {}
        Iterator& operator=(const Iterator& other) noexcept {
            all_ = other.all_, at_ = other.at_, offset_ = other.offset_;
            return *this;
        }
        reference operator*() noexcept {
            session_.connection_ = (*all_)[at_].get();
            session_.all_ = all_;
            session_.offset_ = offset_;
            return session_;
        }
        pointer operator->() noexcept { return &**this; }
        Iterator& operator++() noexcept {
            ++at_;
            skip();
            return *this;
        }
        Iterator operator++(int) noexcept {
            Iterator before(*this);
            ++*this;
            return before;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.at_ == b.at_; }

    private:
        void skip() noexcept {
            while (at_ < all_->size() && !(*all_)[at_]->is_open()) ++at_;
        }
        const Connections<T>* all_;
        std::size_t at_;
        std::ptrdiff_t offset_;
        Session<T, Data> session_{};
    };

    SessionRange(const Connections<T>& all, std::ptrdiff_t offset) noexcept : all_(all), offset_(offset) {}
    Iterator begin() const noexcept { return {all_, 0, offset_}; }
    Iterator end() const noexcept { return {all_, all_.size(), offset_}; }

private:
    const Connections<T>& all_;
    std::ptrdiff_t offset_;
};

}  // namespace detail
}  // namespace qbipc
