// SPDX-License-Identifier: BSL-1.0
// shm_session.hpp: how a session over shared memory comes to be: the service makes both areas, the client checks and
// maps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/detail/layout.hpp>
#include <qbipc/detail/shared_memory.hpp>
#include <qbipc/detail/shm_end.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>

namespace qbipc::detail {

/// What both sides compute from a lane's size; the reply's numbers must be these.
constexpr Areas areas_of(std::uint64_t lane_size) noexcept {
    const ServiceArea service{lane_size, lane_size};
    const ClientArea client{lane_size};
    return {service.size(), client.size(), {ClientArea::requests(), ServiceArea::responses(), service.events()}};
}

/// A session as the service has made it; E's other end and the areas are the client's to receive.
template <class Kernel>
struct ShmSession {
    ShmParts<Kernel> parts;
    Descriptor service_area;
    Descriptor client_area;
    Descriptor client_event;
};

/// What the options say about memory, done before the peer is told anything. Gives up to which offset each of the own
/// lanes may be written. Errors: not_supported, memory_not_locked, or what the kernel says.
template <class Kernel>
Result<std::uint64_t> prepare_pages(const Options& options, std::uint64_t lane_size, const Mapping<Kernel>& own,
                                    const Mapping<Kernel>& peers) {
    if (options.huge_pages) own.want_huge_pages(), peers.want_huge_pages();
    if (options.pages == Pages::touched) return std::uint64_t{ready_at_start};
    if (const auto error = own.populate(0, own.size())) return fail(error);
    if (options.pages == Pages::locked) {
        for (const auto* area : {&own, &peers})
            if (const auto error = area->lock()) return fail(error);
    }
    return lane_size;
}

/// Makes all but the connected socket. The first bytes of each lane are there from the start, the service pays for
/// them; then each side populates what it writes. Errors: not_supported (the kernel lacks a seal, or
/// MADV_POPULATE_WRITE); what the kernel says.
template <class Kernel>
Result<ShmSession<Kernel>> make_shm_session(std::uint64_t lane_size, const Options& options, ForkGuard guard) {
    const Areas areas = areas_of(lane_size);
    ShmSession<Kernel> session;
    auto service_area = make_memory<Kernel>("qbipc-service", areas.service_size);
    if (!service_area) return fail(service_area.error());
    auto client_area = make_memory<Kernel>("qbipc-client", areas.client_size);
    if (!client_area) return fail(client_area.error());
    auto own = Mapping<Kernel>::make(service_area->get(), areas.service_size, Access::write, guard);
    if (!own) return fail(own.error());
    auto peers = Mapping<Kernel>::make(client_area->get(), areas.client_size, Access::read, guard);
    if (!peers) return fail(peers.error());

    const auto start = static_cast<std::size_t>(area_header) + ready_at_start;
    if (const auto error = own->populate(0, start)) return fail(error);
    if (const auto error = own->populate(areas.lane_at[2], ready_at_start)) return fail(error);
    if (const int error = Kernel::fallocate(client_area->get(), 0, 0, static_cast<off_t>(start)); error < 0)
        return fail_system(-error);

    const auto populated = prepare_pages<Kernel>(options, lane_size, *own, *peers);
    if (!populated) return fail(populated.error());

    std::error_code sealed = add_seals<Kernel>(service_area->get(), service_area_seals);
    if (!sealed) sealed = add_seals<Kernel>(client_area->get(), client_area_seals);
    if (sealed == std::errc::invalid_argument) return fail(errc::not_supported);
    if (sealed) return fail(sealed);

    auto event = make_event_pair<Kernel>();
    if (!event) return fail(event.error());
    session.parts.event = std::move(event->service);
    session.client_event = std::move(event->client);
    session.parts.own = *std::move(own);
    session.parts.peers = *std::move(peers);
    session.parts.lane_size = lane_size;
    session.parts.populated = *populated;
    session.parts.guard = guard;
    session.service_area = *std::move(service_area);
    session.client_area = *std::move(client_area);
    return session;
}

/// The client's side of it: nothing is mapped before it was checked. The descriptors of the areas are closed in the
/// end. Errors: protocol_violation (lanes larger than was asked for, sizes or offsets that aren't this side's own,
/// memory that could be resized or written by the wrong side); not_supported; what the kernel says.
template <class Kernel>
Result<ShmParts<Kernel>> enter_shm_session(Welcome& welcome, const Options& options, ForkGuard guard) {
    const Reply& reply = welcome.reply;
    const std::uint64_t lane = reply.lane_size;
    if (lane_size_for(lane) != lane || lane > lane_size_for(options.lane_size) || reply.areas != areas_of(lane) ||
        reply.descriptors != 3 || reply.max_frame != LaneShape::of(lane).max_payload())
        return fail(errc::protocol_violation);
    auto& [event, service_area, client_area] = welcome.descriptors;
    std::error_code wrong = check_memory<Kernel>(service_area.get(), reply.areas.service_size, service_area_seals);
    if (!wrong) wrong = check_memory<Kernel>(client_area.get(), reply.areas.client_size, client_area_seals);
    if (wrong) return fail(wrong);

    auto own = Mapping<Kernel>::make(client_area.get(), reply.areas.client_size, Access::write, guard);
    if (!own) return fail(own.error());
    // Before this side relies on pages of its own area: who holds a descriptor of it could punch holes until here.
    if (!seal_client_area<Kernel>(client_area.get())) return fail(errc::protocol_violation);
    auto peers = Mapping<Kernel>::make(service_area.get(), reply.areas.service_size, Access::read, guard);
    if (!peers) return fail(peers.error());
    const auto start = static_cast<std::size_t>(area_header) + ready_at_start;
    if (const auto error = own->populate(0, start)) return fail(error);
    if (const auto error = peers->populate(0, start, Access::read)) return fail(error);
    if (const auto error = peers->populate(reply.areas.lane_at[2], ready_at_start, Access::read)) return fail(error);
    const auto populated = prepare_pages<Kernel>(options, lane, *own, *peers);
    if (!populated) return fail(populated.error());

    ShmParts<Kernel> parts;
    parts.event = std::move(event);
    parts.own = *std::move(own);
    parts.peers = *std::move(peers);
    parts.lane_size = lane;
    parts.populated = *populated;
    parts.guard = guard;
    service_area.reset();
    client_area.reset();
    return parts;
}

}  // namespace qbipc::detail
