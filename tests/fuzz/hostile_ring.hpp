// SPDX-License-Identifier: BSL-1.0
// hostile_ring.hpp: the shipped ends of ShmRing over HostileMemory and ScriptedKernel, as a transport for the shipped
// client and service; each frame they give is compared with what was loaded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <qbipc/detail/shm_client_end.hpp>
#include <qbipc/detail/shm_service_end.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

#include "fuzz/hostile_memory.hpp"
#include "fuzz/scripted_kernel.hpp"
#include "support/lane_probe.hpp"

namespace qbipc::fuzz {

/// What a run begins with.
struct Beginning {
    std::uint64_t at = 0;  ///< where all lanes stand, in bytes that passed before
    std::size_t max_message = 0;
    std::uint64_t populated = lane_size;
};

/// What an end did, for the checks at the end of a turn.
struct Account {
    std::uint64_t frames = 0;       ///< taken
    std::uint64_t frame_bytes = 0;  ///< of their payloads
    std::uint64_t committed = 0;    ///< frames sent
    std::uint64_t answers = 0;      ///< begun among them, and not abandoned
};

/// An end that checks itself. `Base`: ShmServiceEnd or ShmClientEnd.
template <class Base, detail::Side side>
class CheckedEnd : public Base {
    using Shm = detail::ShmEnd<side, ScriptedKernel, HostileMemory>;

public:
    using Base::Base;

    void begin(const Beginning& beginning) {
        for (auto& in : this->in_) detail::LaneProbe::start(in.reader, beginning.at);
        for (auto& out : this->out_) detail::LaneProbe::start(out.writer, beginning.at);
    }

    std::byte* reserve(Lane lane, std::size_t size) noexcept {
        const auto& writer = this->out_of(lane).writer;
        const std::uint64_t before = detail::LaneProbe::limit(writer);
        std::byte* const place = Base::reserve(lane, size);
        const std::uint64_t limit = detail::LaneProbe::limit(writer);
        expect(limit == 0 || (limit >= before && limit <= writer.published() + lane_size),
               "a credit was believed that no reader shows");
        expect(place == nullptr || HostileMemory::own.in_lane(place - header_size, header_size + size),
               "room was given that isn't in the lane");
        return place;
    }
    void commit(Lane lane, const Header& header) noexcept {
        ++account.committed;
        account.answers += header.kind == Kind::answer || header.kind == Kind::error;
        last_sent = header;
        account.answers -= lane == Lane::responses && header.kind == Kind::abandon;
        Base::commit(lane, header);
    }
    bool peek(Lane lane, Frame& frame) noexcept {
        using Memory = HostileMemory;
        auto& reader = this->in_of(lane).reader;
        const std::uint64_t before = reader.taken();
        const bool was_violated = reader.violated();
        using Mapped = detail::Mapping<ScriptedKernel>;
        const unsigned made_sure = Mapped::made_sure;
        Memory::begin_decision();
        Memory::message_over();
        const bool there = Base::peek(lane, frame);
        // A lane found empty, or broken, is looked at once more after the end, and one whose memory was not sure to be
        // there once it is: those are other decisions.
        expect(this->Shm::standing_.broken() || reader.violated() || made_sure != Mapped::made_sure ||
                   !Memory::looked_twice(),
               "a word of a frame was loaded twice");
        expect(reader.taken() - before < lane_size, "a look moved the cursor by a lap");
        if (!there) return false;
        expect(!was_violated, "a frame was given after a violation");
        const std::byte* const header = frame.payload - header_size;
        expect(frame.header == Header::from_words(Memory::seen(header), Memory::seen(header + 8)),
               "a header was given that isn't the one that was loaded");
        expect(Memory::peers.in_lane(header, header_size + frame.header.size) && frame.header.size <= largest_payload &&
                   frame.header.kind != Kind{} && frame.header.kind != Kind::wrap,
               "a frame was given that no writer publishes");
        last_header = frame.header;
        return true;
    }
    void release(Lane lane) noexcept {
        ++account.frames;
        account.frame_bytes += last_header.size;
        const auto& reader = this->in_of(lane).reader;
        const std::uint64_t before = reader.taken();
        Base::release(lane);
        expect(reader.taken() - before <= detail::frame_span(last_header.size), "a release moved the cursor too far");
    }

    std::uint64_t taken(Lane lane) noexcept { return this->in_of(lane).reader.taken(); }
    std::uint64_t published(Lane lane) noexcept { return this->out_of(lane).writer.published(); }

    static inline Account account;
    static inline Header last_header;  ///< of the frame that was given last
    static inline Header last_sent;
};

/// The one end of a run, wherever it has moved.
template <class Base, detail::Side side>
class Tracked : public CheckedEnd<Base, side> {
public:
    using CheckedEnd<Base, side>::CheckedEnd;
    Tracked(Tracked&& other) noexcept : CheckedEnd<Base, side>(std::move(other)) { current = this; }
    Tracked& operator=(Tracked&&) noexcept = default;
    ~Tracked() {
        if (current == this) current = nullptr;
    }
    static inline Tracked* current = nullptr;
};

struct HostileRing {
    using Memory = HostileMemory;
    using Kernel = ScriptedKernel;
    using ClientEnd = Tracked<detail::ShmClientEnd<Block, Kernel, Memory>, detail::Side::client>;
    using ServiceEnd = Tracked<detail::ShmServiceEnd<Kernel, Memory>, detail::Side::service>;
    static constexpr Vouch vouches = Vouch::pid | Vouch::user | Vouch::group;

    static Credentials peer() { return {42, Kernel::user, 42, {}}; }

    static detail::ShmParts<Kernel> parts(const Beginning& from) {
        using Mapping = detail::Mapping<Kernel>;
        detail::ShmParts<Kernel> made;
        made.call = detail::Descriptor(Kernel::make(Kernel::Kind::socket, Kernel::call_stream));
        made.event = detail::Descriptor(Kernel::make(Kernel::Kind::socket, Kernel::event_stream));
        made.own = Mapping(HostileMemory::own.bytes, Area::most);
        made.peers = Mapping(HostileMemory::peers.bytes, Area::most);
        made.lane_size = lane_size;
        made.populated = from.populated;
        made.max_message = from.max_message;
        made.peer = peer();
        made.guard = *detail::ForkGuard::here<Kernel>();
        return made;
    }

    class Visitor {
    public:
        using End = ServiceEnd;
        const Credentials& peer() const noexcept { return who_; }
        Result<void> attach(int, std::uint64_t) noexcept { return {}; }
        Result<bool> hello() { return true; }
        Result<End> admit(const ServiceOptions&) {
            End end(parts(beginning), detail::Descriptor(Kernel::make(Kernel::Kind::memory)));
            end.begin(beginning);
            return end;
        }
        void refuse(std::error_code) {}

    private:
        Credentials who_ = HostileRing::peer();
    };

    /// One visitor stands before it from the start.
    class Listener {
    public:
        using Visitor = HostileRing::Visitor;
        Listener() : bell_(Kernel::make(Kernel::Kind::event, 1)) {}
        int fd() const noexcept { return bell_.get(); }
        Result<std::optional<Visitor>> accept() {
            std::uint64_t one = 0;
            if (Kernel::read(bell_.get(), &one, sizeof one) < 0) return std::optional<Visitor>();
            return std::optional<Visitor>(std::in_place);
        }

    private:
        detail::Descriptor bell_;
    };

    static Result<Listener> listen(const Address&, const ServiceOptions&) { return Listener(); }
    static Result<ClientEnd> connect(const Address&, const Options&, TimeLimit, CredentialCheck) {
        ClientEnd end(parts(beginning));
        end.begin(beginning);
        return end;
    }

    static inline Beginning beginning;
};
static_assert(TransportPolicy<HostileRing>);

}  // namespace qbipc::fuzz
