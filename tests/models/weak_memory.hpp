// SPDX-License-Identifier: BSL-1.0
// weak_memory.hpp: threads on a memory where a load may find any store that the thread has no knowledge of a successor
// of.
//
// A view says for each place which of its stores is the oldest that may still be read. Each thread has one; a release
// store carries its thread's, an acquire load takes on the store's; fences hand views from one to the next; a byte on a
// socket carries one too. This is release/acquire as C++ and ARM have it, without load buffering. Each place has one
// writer.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace qbipc::testing {

enum class Order : std::uint8_t { relaxed, synchronizing };  ///< synchronizing: release of a store, acquire of a load

template <std::size_t Threads, std::size_t Places, std::size_t Bells, std::size_t Registers>
class WeakMachine {
public:
    using Value = std::uint8_t;

    struct View {
        std::array<Value, Places> oldest{};
        void join(const View& other) {
            for (std::size_t i = 0; i < Places; ++i) oldest[i] = std::max(oldest[i], other.oldest[i]);
        }
    };
    struct Thread {
        Value at = 0;                        ///< the step it will do next
        std::array<Value, Registers> reg{};  ///< what it knows by itself
        View view;
    };

    std::array<Thread, Threads> threads{};

    /// All of a thread's stores up to its next load, fence or bell may be done in one step: a store only adds to what
    /// others may read, so that whatever they do in between they can as well do after.
    void store(std::size_t thread, std::size_t place, Value value, Order order = Order::relaxed) {
        if (used_ == log_.size()) std::abort();
        Store& made = log_[used_++];
        View& view = threads[thread].view;
        made.place = static_cast<Value>(place);
        made.value = value;
        view.oldest[place] = made.number = count_[place]++;
        if (order == Order::synchronizing) made.view = view;
        made.view.oldest[place] = made.number;
    }

    /// For each store that this load may find, the initial zero included: `then(successor, value)`.
    template <class Then>
    void load(std::size_t thread, std::size_t place, Order order, Then then) const {
        const Value from = threads[thread].view.oldest[place];
        if (from == 0) {
            WeakMachine next = *this;
            then(next, Value{0});
        }
        for (std::size_t i = 0; i < used_; ++i) {
            if (log_[i].place != place || log_[i].number < from) continue;
            WeakMachine next = *this;
            next.threads[thread].view.oldest[place] = log_[i].number;
            if (order == Order::synchronizing) next.threads[thread].view.join(log_[i].view);
            then(next, log_[i].value);
        }
    }

    /// Sequentially consistent: whoever comes to one later knows all that this thread knows.
    void fence(std::size_t thread) {
        threads[thread].view.join(fences_);
        fences_ = threads[thread].view;
    }

    void ring(std::size_t thread, std::size_t bell) {
        rung_[bell] = true;
        bells_[bell].join(threads[thread].view);
    }
    bool rung(std::size_t bell) const { return rung_[bell]; }
    void drain(std::size_t thread, std::size_t bell) {
        rung_[bell] = false;
        threads[thread].view.join(bells_[bell]);
    }

    std::string key() const {
        std::string text;
        const auto add = [&](const auto& bytes) { text.append(reinterpret_cast<const char*>(&bytes), sizeof bytes); };
        add(threads);
        add(fences_);
        add(bells_);
        add(rung_);
        // By place: in which order stores to different places were made is known by their views only.
        for (std::size_t place = 0; place < Places; ++place) {
            text += static_cast<char>(count_[place]);
            for (std::size_t i = 0; i < used_; ++i) {
                if (log_[i].place == place) add(log_[i]);
            }
        }
        return text;
    }

private:
    struct Store {
        Value place = 0, number = 0, value = 0;
        View view;
    };

    static constexpr std::array<Value, Places> ones() {
        std::array<Value, Places> all{};
        all.fill(1);  // number 0 is the initial zero
        return all;
    }

    View fences_;
    std::array<View, Bells> bells_{};
    std::array<bool, Bells> rung_{};
    std::array<Value, Places> count_ = ones();
    Value used_ = 0;
    std::array<Store, 56> log_{};
};

}  // namespace qbipc::testing
