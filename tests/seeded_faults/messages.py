# SPDX-License-Identifier: BSL-1.0
"""Messages made of frames, calls and their answers, and what of it all is counted."""
from fault import Cases, Fault, Program

RECEIVER, SENDER, CONNECTION = "detail/message_receiver.hpp", "detail/message_sender.hpp", "detail/connection.hpp"
# What fuzz targets run against instead of the kernel: as in fuzz/meson.build.
INSTEAD = tuple(
    "-Wl,--wrap=" + name
    for name in "close read write epoll_create1 epoll_ctl epoll_wait eventfd timerfd_create timerfd_settime geteuid "
    "_ZNSt6chrono3_V212steady_clock3nowEv".split()
)

HELD = Cases("conformance/bounds.cpp", "what a session held of unsent answers, or of half a message, its user has back when it ends")


def replayed(target: str, found: str) -> Program:
    return Program((f"fuzz/{target}.cpp", "fuzz/replay.cpp"), ("{root}/tests/fuzz/regressions/" + f"{target}/{found}",), ("-O1", *INSTEAD))


FAULTS = [
    Fault(
        "a row may announce more than the largest message",
        RECEIVER,
        "total_ > end.max_message() || ",
        "",
        Cases("detail/message_rows.cpp", "what no honest peer sends is a violation, and stays one"),
    ),
    Fault(
        "a row may bring more than it announced",
        RECEIVER,
        "        if (count > total_ - received_) return false;\n",
        "",
        Cases("detail/message_rows.cpp", "what no honest peer sends is a violation, and stays one"),
    ),
    Fault(
        "memory is taken for what was announced",
        RECEIVER,
        "std::min<std::size_t>(total_, std::max(2 * assembly_.size(), received_ + count))",
        "static_cast<std::size_t>(total_)",
        Cases("detail/message_rows.cpp", "memory grows with what has come, not with what was announced"),
    ),
    Fault(
        "a frame that broke the protocol is looked at again",
        RECEIVER,
        "            assembling_ = true;\n            return false;",
        "            return false;",
        Cases("detail/message_rows.cpp", "a frame that broke the protocol is no message even if its peer makes a good one of it"),
    ),
    Fault(
        "pieces cost no turn",
        RECEIVER,
        "            if (frames == 0 || !end.peek(lane, message)) return false;\n            --frames;\n",
        "            if (!end.peek(lane, message)) return false;\n",
        Cases("detail/message_rows.cpp", "no more frames are taken than the receiver was allowed, pieces and abandoned rows included"),
    ),
    Fault(
        "a row given up midway isn't abandoned",
        SENDER,
        "                    if (kept.begun) abandon(header);\n",
        "",
        Cases("detail/message_rows.cpp", "a row given up after any number of pieces is dropped, and the next message is whole"),
    ),
    Fault(
        "the outbox has no limit",
        SENDER,
        "        if (size + rest_bytes() > limit) return ErrorCode(errc::over_quota);\n",
        "",
        Cases("detail/message_rows.cpp", "what finds no room is kept in order, as far as the limit goes"),
    ),
    Fault(
        "memory of a long message isn't given back to its user",
        RECEIVER,
        "        if (account_) account_->give_back(charged_);\n",
        "",
        Cases("detail/message_rows.cpp", "a spare that a row takes over is counted whole, or left where it is"),
    ),
    Fault(
        "what a session held of half a message isn't given back at its end",
        CONNECTION,
        "        requests.forget();\n",
        "",
        HELD,
    ),
    Fault(
        "what a session held of unsent answers isn't given back at its end",
        CONNECTION,
        "        events.discard();\n        (void)charge_outboxes();\n",
        "        events.discard();\n",
        HELD,
    ),
    Fault(
        "padding is sent as it lies in memory",
        "padding.hpp",
        "        __builtin_clear_padding(static_cast<M*>(to));\n",
        "",
        Cases("padding.cpp", "what lay in memory before never shows in what is sent"),
    ),
    Fault(
        "an answer is given to whoever has its number's slot",
        "detail/calls.hpp",
        "return slot.correlation == correlation ? &slot : nullptr;",
        "return &slot;",
        Cases("detail/calls.cpp", "a late answer isn't given to the call that has its number's slot now"),
    ),
    Fault(
        "numbers of calls are compared as if they never began again",
        "detail/calls.hpp",
        "return static_cast<std::uint32_t>(issued) - correlation < issued;",
        "return static_cast<std::uint32_t>(issued) >= correlation && issued != 0;",
        Cases("detail/calls.cpp", "a correlation that was never given out is known as such, across the end of the numbers"),
    ),
    Fault(
        "half of all numbers count as given out from the beginning",
        "detail/calls.hpp",
        "return static_cast<std::uint32_t>(issued) - correlation < issued;",
        "return static_cast<std::uint32_t>(issued) - correlation < std::uint32_t{1} << 31;",
        Cases("detail/calls.cpp", "a correlation that was never given out is known as such, across the end of the numbers"),
    ),
    Fault(
        "a place that a function fills on a socket is sent with what lay there",
        "detail/frame_sender.hpp",
        "new (std::nothrow) std::byte[size]()",
        "new (std::nothrow) std::byte[size]",
        Cases("conformance/shapes.cpp", "what a build() function leaves unwritten is nothing of this process'"),
    ),
    Fault(
        "a build() function's 'disconnected' is taken for the session's",
        CONNECTION,
        "            (void)reply_error(call, error);\n",
        "            if (error != errc::disconnected) (void)reply_error(call, error);\n",
        Cases("conformance/answers.cpp", "whatever a build() function gives is an answer, 'disconnected' of somebody else's too"),
    ),
    Fault(
        "a late answer is given to the next call",
        "detail/answer_desk.hpp",
        "message.header.correlation != me.correlation()",
        "false",
        Cases("conformance/calling.cpp", "an answer that comes late, while the next call waits, is not that call's"),
    ),
    Fault(
        "events that find no room are lost without a gap",
        CONNECTION,
        "error = events.send(end, x, header_of(x, Kind::event, ++offered_));",
        "error = events.send(end, x, header_of(x, Kind::event, offered_ + 1));\n            offered_ += !error;",
        Cases("conformance/events.cpp", "a slow client's losses are refused to the sender, and counted exactly by the client"),
    ),
    Fault(
        "calls are taken though answers wait for room",
        CONNECTION,
        "return !responses.has_rest() && counters.calls_waiting < limits_.unanswered;",
        "return counters.calls_waiting < limits_.unanswered;",
        Cases("conformance/sending.cpp", "large answers to a client that reads nothing wait outside the lane, and no more calls are taken"),
    ),
    Fault(
        "a one-way message by a deferred call's id is answered",
        CONNECTION,
        "        if (call.kind != Kind::call) return {};  // a one-way message by a call's id: nobody waits\n",
        "",
        Cases("conformance/answers.cpp", "a one-way message by the id of a deferred call gets no answer"),
    ),
    Fault(
        "a client waits on after its service broke the protocol",
        "detail/client_state.hpp",
        "wait_for_room(TimeLimit& limit) {\n        if (auto error = split ? end.ended() : find_out()) return error;\n",
        "wait_for_room(TimeLimit& limit) {\n        if (auto error = end.ended()) return error;\n",
        replayed("client_view", "send-waits-for-ever-after-a-violation"),
        hangs=True,
    ),
    Fault(
        "work that a turn leaves behind isn't announced",
        "detail/service_loop.hpp",
        "        if (!ready_.empty()) door_->ring(1);  // whoever leaves work behind rings himself\n",
        "",
        Cases("conformance/loops.cpp", "a service that handles one request per turn is told of all of them, by any loop"),
    ),
    Fault(
        "a session's end is told twice",
        "detail/departures.hpp",
        "if (connection->opened && !std::exchange(connection->said_farewell, true))",
        "if (connection->opened)",
        Cases("conformance/endings.cpp", "a session that its service disconnects doesn't stay for ever where its client reads nothing"),
    ),
    Fault(
        "functions run inside of each other's waits",
        "detail/answer_desk.hpp",
        "bool may_run() const noexcept { return !running_ && !sending_; }",
        "bool may_run() const noexcept { return !sending_; }",
        Cases("conformance/functions.cpp", "functions that wait for calls run one at a time, whatever comes meanwhile"),
    ),
    Fault(
        "the connection's end runs functions inside of each other",
        "detail/answer_desk.hpp",
        "if (running_ || forked()) return;\n        while",
        "if (forked()) return;\n        while",
        Cases("conformance/functions.cpp", "functions that wait for calls run one at a time, whatever comes meanwhile"),
    ),
    Fault(
        "answers of functions that may not run yet are kept without a limit",
        "detail/answer_desk.hpp",
        "bool kept = put_off_.size() < most_put_off;",
        "bool kept = true;",
        Cases("conformance/functions.cpp", "a function that starts more than can be kept gets an error for what is too much"),
    ),
    Fault(
        "an answer to a call of long ago breaks the protocol",
        "detail/calls.hpp",
        "return static_cast<std::uint32_t>(issued) - correlation < issued;",
        "const std::uint32_t distance = static_cast<std::uint32_t>(issued) - correlation;\n        return distance < issued && distance < std::uint32_t{1} << 31;",
        Cases("detail/calls.cpp", "a correlation that was never given out is known as such, across the end of the numbers"),
    ),
    Fault(
        "the number of a call that still waits is given to another",
        "detail/calls.hpp",
        "while (find(static_cast<std::uint32_t>(next)) != nullptr) ++next;",
        "(void)0;",
        Cases("detail/calls.cpp", "the number of a call that waits isn't given to another, when the numbers have begun again"),
    ),
    Fault(
        "a child runs its parent's functions",
        "detail/answer_desk.hpp",
        "if (running_ || forked()) return;",
        "if (running_) return;",
        Cases("conformance/functions.cpp", "a forked child runs none of its parent's functions"),
    ),
]
