// SPDX-License-Identifier: BSL-1.0
// world.hpp: a few threads that run the library's own code, one at a time, on a memory as weak as ARM's.
//
// Each word keeps all that was ever stored into it. A view says for each word which is the oldest store that may still
// be read: each thread has one; a release store carries its thread's, an acquire load takes on the store's; fences hand
// views from one to the next; a byte on a socket carries one too. That is release/acquire as C++ and ARM have it.
//
// A load, a fence, a byte sent and a sleep are where another thread may go on. A store is not: it only adds to what
// others may read, so whatever they do right before it they can as well do after. But a thread can die at any of them.
//
// Payloads are plain bytes. What a reader copies may be loaded as late as right before its next release or fence, and
// each store that could be found by then must be the right one; a writer must know of a read before it overwrites.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "choices.hpp"
#include "fiber.hpp"

namespace qbipc::testing {

enum class Order : std::uint8_t { relaxed, synchronizing };  ///< synchronizing: release of a store, acquire of a load

class World {
public:
    static constexpr std::size_t most_threads = 3;
    static constexpr std::size_t most_sockets = 4;
    static constexpr std::size_t most_places = 128;
    static constexpr std::size_t most_stores = 120;  ///< into one word, in one schedule
    static constexpr int nobody = -1;
    using Body = void (*)(int);

    /// The one whose threads run, or are being set up.
    static inline World* current = nullptr;

    /// `memory`: all that is shared; only the addresses count.
    World(const void* memory, std::size_t size)
        : base_(static_cast<const std::byte*>(memory)), index_(size / 8, std::uint8_t{0}) {}

    // ---- a schedule: begin(), set up, run() ------------------------------------------------------------------------

    /// Forgets all: every word is zero. Until run(), loads and stores are a single thread's.
    void begin(Choices& choices) {
        current = this;
        choices_ = &choices;
        for (const std::uint32_t word : touched_) index_[word] = 0;
        touched_.clear();
        used_places_ = most_threads;  // the first are the threads' own clocks
        used_stores_ = 0;
        fences_ = View{};
        sockets_ = {};
        threads_count_ = 0;
        running_ = nobody;
        error_.clear();
        given_up_ = false;
        words_ = 0;
        points_ = 0;
    }

    /// A thread whose process dies before this thread's operation number `dies_at` (loads, stores, fences, bytes).
    void add_thread(Body body, int process, std::uint32_t dies_at = never) {
        Thread& thread = threads_[at(threads_count_++)];
        thread.body = body;
        thread.process = process;
        thread.dies_at = dies_at;
        thread.operations = 0;
        thread.state = Thread::ready;
        thread.waits_for = 0;
        thread.view = View{};
        thread.position = 0;
        thread.copies_count = 0;
        thread.is_told = false;
        thread.told = View{};
    }
    static constexpr std::uint32_t never = ~std::uint32_t{0};

    /// Until all threads are through, or dead. False: given up, since it led nowhere new.
    bool run() {
        for (int i = 0; i < threads_count_; ++i) {
            for (std::size_t place = most_threads; place < used_places_; ++place)
                threads_[at(i)].view.oldest[place] = places_[place].count;
            threads_[at(i)].fiber.begin(&World::enter, i);
        }
        words_ = 0;
        const int first = next_thread(nobody);
        running_ = first;
        Fiber::hand_over(home_, threads_[at(first)].fiber);
        running_ = nobody;
        return !given_up_;
    }

    /// Whether a thread runs, and not who sets them up.
    bool runs() const { return running_ != nobody; }
    const std::string& error() const { return error_; }
    /// How many scheduling points there were.
    std::uint64_t points() const { return points_; }

    // ---- for the threads -------------------------------------------------------------------------------------------

    /// Something is wrong: ends the schedule.
    void fail(const char* what) {
        if (error_.empty()) error_ = what;
        if (running_ != nobody) leave_for_good();
    }
    bool dead(int thread) const { return threads_[at(thread)].state == Thread::killed; }

    /// All of the running thread's private state, at a place in its code: two that agree in these are in one state.
    template <class... Values>
    void here(int label, Values... values) {
        if (running_ == nobody) return;
        std::uint64_t hash = static_cast<std::uint64_t>(label) + 1;
        ((hash = mix(hash, static_cast<std::uint64_t>(values))), ...);
        me().position = hash;
    }

    std::uint64_t load(const std::uint64_t* word, Order order) {
        const std::uint8_t place = place_of(word);
        if (running_ == nobody) return places_[place].count == 0 ? 0 : newest(place).value;
        operation();
        point();
        Thread& thread = me();
        const std::uint8_t from = thread.view.oldest[place];
        const unsigned count = places_[place].count - from + 1u;
        const auto number = static_cast<std::uint8_t>(from + (count == 1 ? 0 : choices_->store(count)));
        thread.view.oldest[place] = number;
        std::uint64_t value = 0;
        if (number != 0) {
            const Store& store = store_at(place, number);
            value = store.value;
            if (order == Order::synchronizing && store.released) thread.view.join(store.view);
        }
        thread.position = mix(thread.position, value + 1);
        look_whether_told();
        return value;
    }

    void store(std::uint64_t* word, std::uint64_t value, Order order) {
        const std::uint8_t place = place_of(word);
        if (running_ == nobody) {
            // One store, which is known to all when they begin.
            if (places_[place].count == 0) add(place);
            newest(place).value = value;
            newest(place).released = false;
            return;
        }
        operation();
        if (order == Order::synchronizing) finish_copies();
        Thread& thread = me();
        Store& made = add(place);
        made.value = value;
        thread.view.oldest[place] = places_[place].count;
        made.released = order == Order::synchronizing;
        if (made.released) made.view = thread.view;
        words_ += hash_of(place, places_[place].count, made);
    }

    /// A payload's word. All who read what was there must be known to have done so.
    void overwrite(std::uint64_t* word, std::uint64_t value) {
        if (running_ != nobody) {
            const Place& place = places_[place_of(word)];
            for (int i = 0; i < threads_count_; ++i) {
                if (i == running_) continue;
                if (me().view.oldest[at(i)] < place.read_at[at(i)])
                    return fail("a payload is overwritten while it may still be read");
            }
        }
        store(word, value, Order::relaxed);
    }

    /// A payload's word, which must turn out to be this.
    void copy(const std::uint64_t* word, std::uint64_t expected) {
        const std::uint8_t place = place_of(word);
        Thread& thread = me();
        if (thread.copies_count == thread.copies.size()) std::abort();
        thread.copies[thread.copies_count++] = {expected, place, thread.view.oldest[place]};
        thread.position = mix(thread.position, place);
    }

    /// Sequentially consistent: whoever comes to one later knows all that this thread knows.
    void fence() {
        if (running_ == nobody) return;
        operation();
        finish_copies();
        point();
        me().view.join(fences_);
        fences_ = me().view;
        look_whether_told();
    }
    /// In place of a fence that was left out: so that schedules keep their shape.
    void no_fence() {
        if (running_ == nobody) return;
        operation();
    }

    // ---- sockets: bytes that stay until they are drained -----------------------------------------------------------

    /// False: it has ended. More than `most` bytes in it are too many.
    bool put(std::size_t socket, std::uint8_t byte, unsigned most) {
        operation();
        point();
        Socket& to = sockets_[socket];
        me().position = mix(me().position, to.ended ? 1 : 0);
        look_whether_told();
        if (to.ended) {
            learn_of_the_end(to);
            return false;
        }
        if (to.count == most) fail("bells pile up");
        to.bytes[to.count++] = byte;
        to.view.join(me().view);
        return true;
    }
    /// Takes all that is there, `most_bytes` at most: how many; 0: it has ended; -1: nothing yet.
    int take(std::size_t socket, std::uint8_t* to) {
        operation();
        point();
        Socket& from = sockets_[socket];
        const int count = from.count != 0 ? static_cast<int>(from.count) : from.ended ? 0 : -1;
        look_whether_told();
        if (count > 0) me().view.join(from.view);
        if (count == 0) learn_of_the_end(from);
        me().position = mix(me().position, static_cast<std::uint64_t>(count));
        for (std::size_t i = 0; i < from.count; ++i) me().position = mix(me().position, to[i] = from.bytes[i]);
        from.count = 0;
        return count;
    }
    /// Nobody will put anything in it from here; what is in it can be taken.
    void end(std::size_t socket) {
        operation();
        point();
        look_whether_told();
        sockets_[socket].ended = true;
        sockets_[socket].view.join(me().view);
    }
    bool readable(std::size_t socket) const { return sockets_[socket].count != 0 || sockets_[socket].ended; }
    /// Sleeps until one of these (a bit each) has bytes, or has ended.
    void sleep(unsigned sockets) {
        operation();
        finish_copies();
        me().waits_for = static_cast<std::uint8_t>(sockets);
        point();
        me().waits_for = 0;
        look_whether_told();
        for (std::size_t i = 0; i < most_sockets; ++i) me().position = mix(me().position, readable(i) ? 1 : 0);
    }
    static constexpr std::size_t most_bytes = 8;

private:
    struct View {
        std::array<std::uint8_t, most_places> oldest{};
        void join(const View& other) {
            for (std::size_t i = 0; i < most_places; ++i) oldest[i] = std::max(oldest[i], other.oldest[i]);
        }
    };
    struct Store {
        std::uint64_t value = 0;
        bool released = false;
        View view;
    };
    struct Place {
        std::uint8_t count = 0;  ///< of stores; number 0 is the initial zero
        std::array<std::uint8_t, most_threads> read_at{};
        std::array<std::uint16_t, most_stores> stores;
    };
    struct Socket {
        std::array<std::uint8_t, most_bytes> bytes{};
        unsigned count = 0;
        bool ended = false;
        View view;
    };
    struct Copy {
        std::uint64_t expected;
        std::uint8_t place, from;
    };
    struct Thread {
        enum State : std::uint8_t { ready, killed, through };
        Body body = nullptr;
        Fiber fiber;
        int process = nobody;
        std::uint32_t dies_at = never, operations = 0;
        State state = ready;
        std::uint8_t waits_for = 0;  ///< a bit for each socket
        View view;
        bool is_told = false;  ///< of the end, by another thread, which knew `told`
        View told;
        std::uint64_t position = 0;
        std::uint8_t copies_count = 0;
        std::array<Copy, 24> copies;
    };

    static constexpr std::size_t at(int thread) { return static_cast<std::size_t>(thread); }
    static constexpr std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
        hash = (hash ^ value) * 0xff51afd7ed558ccdu;
        return hash ^ hash >> 32;
    }
    Thread& me() { return threads_[at(running_)]; }
    Store& store_at(std::uint8_t place, std::uint8_t number) { return stores_[places_[place].stores[number - 1u]]; }
    Store& newest(std::uint8_t place) { return store_at(place, places_[place].count); }

    std::uint8_t place_of(const std::uint64_t* word) {
        const auto offset = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(word) - base_) / 8;
        if (offset >= index_.size()) std::abort();
        if (index_[offset] == 0) {
            if (used_places_ == most_places) std::abort();
            index_[offset] = static_cast<std::uint8_t>(used_places_);
            places_[used_places_].count = 0;
            places_[used_places_].read_at.fill(0);
            ++used_places_;
            touched_.push_back(static_cast<std::uint32_t>(offset));
        }
        return index_[offset];
    }
    Store& add(std::uint8_t place) {
        Place& of = places_[place];
        if (of.count == most_stores) std::abort();
        if (used_stores_ == stores_.size()) stores_.emplace_back();
        of.stores[of.count++] = static_cast<std::uint16_t>(used_stores_);
        return stores_[used_stores_++];
    }

    void finish_copies() {
        Thread& thread = me();
        for (std::size_t i = 0; i < thread.copies_count; ++i) {
            const Copy& copy = thread.copies[i];
            Place& place = places_[copy.place];
            for (std::uint8_t number = copy.from; number <= place.count; ++number) {
                if ((number == 0 ? 0 : store_at(copy.place, number).value) != copy.expected)
                    return fail("a payload is not what was sent");
            }
            place.read_at[at(running_)] = ++thread.view.oldest[at(running_)];
        }
        thread.copies_count = 0;
    }

    /// Who learns of the peer's end knows all that the peer did, and tells the other threads of his process: see
    /// Standing. They look once they have done what they are about to do.
    void learn_of_the_end(const Socket& socket) {
        me().view.join(socket.view);
        for (int i = 0; i < threads_count_; ++i) {
            Thread& thread = threads_[at(i)];
            if (i == running_ || thread.process != me().process) continue;
            thread.told.join(me().view);
            thread.is_told = true;
        }
    }
    void look_whether_told() {
        Thread& thread = me();
        if (!thread.is_told) return;
        thread.is_told = false;
        thread.view.join(thread.told);
    }

    /// Before each: this may be where the thread dies.
    void operation() {
        if (me().operations++ != me().dies_at) return;
        const int process = me().process;
        for (int i = 0; i < threads_count_; ++i) {
            Thread& thread = threads_[at(i)];
            if (thread.process != process) continue;
            if (thread.state == Thread::ready) thread.state = Thread::killed;
            for (Socket& socket : sockets_) socket.view.join(thread.view);
        }
        for (Socket& socket : sockets_) socket.ended = true;
        leave();
    }

    bool can_go_on(int i) {
        const Thread& thread = threads_[at(i)];
        if (thread.state != Thread::ready) return false;
        if (thread.waits_for == 0) return true;
        for (std::size_t socket = 0; socket < most_sockets; ++socket) {
            if ((thread.waits_for >> socket & 1) != 0 && readable(socket)) return true;
        }
        return false;
    }

    /// Who goes on; `nobody`: no one can.
    int next_thread(int running) {
        std::array<int, most_threads> able{};
        unsigned count = 0;
        const bool current_can = running != nobody && can_go_on(running);
        if (current_can) able[count++] = running;
        for (int i = 0; i < threads_count_; ++i) {
            if (i != running && can_go_on(i)) able[count++] = i;
        }
        if (count == 0) return nobody;
        return able[count == 1 ? 0 : choices_->thread(count, current_can)];
    }

    /// Where another thread may go on.
    void point() {
        ++points_;
        me().position = mix(me().position, 3);
        if (!choices_->worth_going_on(state())) {
            given_up_ = true;
            leave_for_good();
        }
        const int next = next_thread(running_);
        if (next == running_) return;
        if (next == nobody) {
            error_ = "asleep for ever";
            leave_for_good();
        }
        go_on_with(next);
    }

    void go_on_with(int next) {
        Fiber& from = me().fiber;
        running_ = next;
        Fiber::hand_over(from, threads_[at(next)].fiber);
    }
    /// The running thread is dead, or through.
    void leave() {
        const int next = next_thread(nobody);
        if (next == nobody) {
            for (int i = 0; i < threads_count_; ++i) {
                if (threads_[at(i)].state == Thread::ready) error_ = "asleep for ever";
            }
            leave_for_good();
        }
        go_on_with(next);
    }
    void leave_for_good() {
        Fiber& from = me().fiber;
        Fiber::hand_over(from, home_);
    }

    static void enter(int thread) {
        Fiber::begun();
        World& world = *current;
        world.threads_[at(thread)].body(thread);
        world.finish_copies();
        world.me().state = Thread::through;
        world.leave();
        std::abort();
    }

    static std::uint64_t hash_view(const View& view) {
        std::uint64_t hash = 1;
        for (std::size_t i = 0; i < most_places; i += 8) {
            std::uint64_t eight = 0;
            for (std::size_t j = 0; j < 8; ++j) eight |= std::uint64_t{view.oldest[i + j]} << (8 * j);
            hash = mix(hash, eight);
        }
        return hash;
    }
    /// Of all stores the sum: in which order stores to different words were made is known by their views only.
    static std::uint64_t hash_of(std::uint8_t place, std::uint8_t number, const Store& store) {
        if (!hashing) return 0;
        const std::uint64_t where = std::uint64_t{place} << 8 | number;
        return mix(mix(where + 1, store.value), store.released ? hash_view(store.view) : 0);
    }
    std::uint64_t state() const {
        if (!hashing) return 0;
        std::uint64_t hash = mix(words_, hash_view(fences_));
        for (int i = 0; i < threads_count_; ++i) {
            const Thread& thread = threads_[at(i)];
            hash = mix(mix(hash, hash_view(thread.view)), thread.position);
            hash = mix(hash, std::uint64_t{thread.state} << 8 | thread.waits_for);
            if (thread.dies_at != never) hash = mix(hash, thread.operations);
            for (std::size_t c = 0; c < thread.copies_count; ++c)
                hash = mix(hash, std::uint64_t{thread.copies[c].place} << 8 | thread.copies[c].from);
        }
        for (const Socket& socket : sockets_) {
            hash = mix(mix(hash, socket.count << 1 | (socket.ended ? 1u : 0u)), hash_view(socket.view));
            for (std::size_t i = 0; i < socket.count; ++i) hash = mix(hash, socket.bytes[i]);
        }
        return hash;
    }

public:
    static inline bool hashing = false;  ///< whether states are told apart: for AllChoices

private:
    const std::byte* base_;
    Choices* choices_ = nullptr;
    std::vector<std::uint8_t> index_;  ///< a word's place, 0: not yet touched
    std::vector<std::uint32_t> touched_;
    std::array<Place, most_places> places_;
    std::size_t used_places_ = 0;
    std::vector<Store> stores_;
    std::size_t used_stores_ = 0;
    View fences_;
    std::array<Socket, most_sockets> sockets_;
    std::array<Thread, most_threads> threads_;
    int threads_count_ = 0;
    int running_ = nobody;
    Fiber home_;
    std::string error_;
    bool given_up_ = false;
    std::uint64_t words_ = 0;
    std::uint64_t points_ = 0;
};

}  // namespace qbipc::testing
