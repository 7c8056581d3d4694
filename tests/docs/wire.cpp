// SPDX-License-Identifier: BSL-1.0
// docs/wire.md says what the code does: its tables, read from the page, against the constants.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <qbipc/detail/frame_sender.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/detail/layout.hpp>

#include "support/catch.hpp"

namespace {

using namespace qbipc;
using namespace qbipc::detail;

using Cells = std::vector<std::string>;

std::string trimmed(std::string text) {
    text.erase(0, std::min(text.find_first_not_of(' '), text.size()));
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

/// The page's tables, by the heading above them and in its order; headings of tables and rules are left out.
class Page {
public:
    Page() {
        std::ifstream file(QBIPC_TEST_SOURCE_DIR "/docs/wire.md");
        REQUIRE(file);
        std::string heading, line;
        bool in_table = false;
        while (std::getline(file, line)) {
            text_ += line + '\n';
            if (line.starts_with('#')) heading = trimmed(line.substr(line.find(' ')));
            if (!line.starts_with('|')) {
                in_table = false;
                continue;
            }
            if (!std::exchange(in_table, true)) tables_.push_back({heading, {}});
            Cells cells;
            std::istringstream rest(line.substr(1));
            for (std::string cell; std::getline(rest, cell, '|');) cells.push_back(trimmed(cell));
            tables_.back().second.push_back(cells);
        }
    }

    /// The rows of one table under a heading.
    std::vector<Cells> table(const std::string& heading, std::size_t number = 0) const {
        for (const auto& [under, rows] : tables_)
            if (under == heading && number-- == 0) return {rows.begin() + 2, rows.end()};
        FAIL("docs/wire.md has no table under " << heading);
        return {};
    }
    bool says(const std::string& words) const { return text_.find(words) != text_.npos; }

private:
    std::string text_;
    std::vector<std::pair<std::string, std::vector<Cells>>> tables_;
};

struct Field {
    std::size_t at, size;
    std::string name;
};

/// A table of fields: each begins where the last ended, and together they fill the whole.
std::vector<Field> fields(const Page& page, const std::string& heading) {
    std::vector<Field> all;
    std::size_t end = 0;
    for (const auto& row : page.table(heading)) {
        all.push_back({std::stoul(row[0]), std::stoul(row[1]), row[2]});
        CAPTURE(row[2]);
        CHECK(all.back().at == end);
        end = all.back().at + all.back().size;
    }
    CHECK(end == handshake_size);
    return all;
}

void check_field(const std::vector<Field>& all, const std::string& name, std::size_t place, std::size_t size) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Field& field) { return field.name.find(name) != std::string::npos; });
    INFO(name);
    REQUIRE(found != all.end());
    CHECK(found->at == place);
    CHECK(found->size == size);
}

/// The number in a table's first cell whose second begins so.
unsigned long number_of(const std::vector<Cells>& rows, const std::string& name, std::size_t cell = 1) {
    for (const auto& row : rows)
        if (row.size() > cell && row[cell].starts_with(name)) return std::stoul(row[0]);
    FAIL("docs/wire.md doesn't say which number is " << name);
    return 0;
}

}  // namespace

TEST_CASE("the page has each field of a hello and of a reply where it is", "[wire]") {
    const Page page;
    CHECK(page.says("# The wire, version " + std::to_string(protocol_version)));
    const auto hello = fields(page, "Hello");
    check_field(hello, "magic", at::magic, 8);
    check_field(hello, "version", at::version, sizeof(Speaker::version));
    check_field(hello, "line size", at::line_size, sizeof(Speaker::line_size));
    check_field(hello, "transport id", at::transport, sizeof(Speaker::transport));
    check_field(hello, "bits of a pointer", at::word_bits, sizeof(Speaker::word_bits));
    check_field(hello, "byte order", at::byte_order, sizeof(Speaker::byte_order));
    check_field(hello, "features", at::features, sizeof(Speaker::features));
    check_field(hello, "largest message wanted", at::max_message, sizeof(Hello::max_message));
    check_field(hello, "lane size wanted", at::lane_size, sizeof(Hello::lane_size));
    CHECK(page.says("`q b i p c \\r \\n H`"));
    CHECK(page.says("`q b i p c \\r \\n R`"));

    const auto reply = fields(page, "Reply");
    check_field(reply, "magic", at::magic, 8);
    check_field(reply, "version", at::version, at::status - at::version);
    check_field(reply, "status", at::status, sizeof(Status));
    check_field(reply, "features", at::features, sizeof(Speaker::features));
    check_field(reply, "error domain", at::error_domain, sizeof(WireError::domain));
    check_field(reply, "error value", at::error_value, sizeof(WireError::value));
    check_field(reply, "largest message in force", at::max_message, sizeof(Reply::max_message));
    check_field(reply, "size of each lane", at::lane_size, sizeof(Reply::lane_size));
    check_field(reply, "largest payload of one frame", at::max_frame, sizeof(Reply::max_frame));
    check_field(reply, "number of descriptors", at::descriptors, sizeof(Reply::descriptors));
    check_field(reply, "size of the service's area", at::service_size, sizeof(Areas::service_size));
    check_field(reply, "size of the client's area", at::client_size, sizeof(Areas::client_size));
    check_field(reply, "place of the requests lane", at::lanes, 8);
    check_field(reply, "place of the responses lane", at::lanes + 8, 8);
    check_field(reply, "place of the events lane", at::lanes + 16, 8);
    CHECK(page.says("status: 1 ok, 2 refused, 3 moved"));
    CHECK((Status::ok == Status{1} && Status::refused == Status{2} && Status::moved == Status{3}));
    const auto parts = page.table("Parts of a session");
    CHECK(parts[0][1] == std::to_string(static_cast<int>(TransportId::shm_ring)));
    CHECK(parts[0][2] == std::to_string(static_cast<int>(TransportId::unix_socket)));
}

TEST_CASE("the page has the numbers of frames, errors and bytes on sockets", "[wire]") {
    const Page page;
    const auto kinds = page.table("Frames", 1);
    const std::pair<const char*, Kind> all[] = {
        {"call", Kind::call},     {"one-way", Kind::one_way}, {"answer", Kind::answer},   {"error", Kind::error},
        {"event", Kind::event},   {"piece", Kind::piece},     {"abandon", Kind::abandon}, {"wrap", Kind::wrap},
        {"cancel", Kind::cancel}, {"bye", bye_kind}};
    for (const auto& [name, kind] : all) CHECK(number_of(kinds, name) == static_cast<unsigned long>(kind));
    CHECK(kinds.size() == std::size(all));
    const auto errors = page.table("Errors");
    CHECK(number_of(errors, "of `std::errc`") == static_cast<unsigned long>(ErrorDomain::generic));
    CHECK(number_of(errors, "errno") == static_cast<unsigned long>(ErrorDomain::system));
    CHECK(number_of(errors, "of `qbipc::errc`") == static_cast<unsigned long>(ErrorDomain::qbipc));
    CHECK(number_of(errors, "the application's own") == static_cast<unsigned long>(ErrorDomain::application));
    CHECK(number_of(errors, "an incompatibility") == static_cast<unsigned long>(ErrorDomain::incompatible));
    CHECK(page.says("1 transport, 2 version, 3 word size, 4 byte order, 5 line size"));
    CHECK((Mismatch::transport == Mismatch{1} && Mismatch::version == Mismatch{2} &&
           Mismatch::word_size == Mismatch{3} && Mismatch::byte_order == Mismatch{4} &&
           Mismatch::layout == Mismatch{5}));
    const auto bytes = page.table("Flags and bells");
    CHECK(number_of(bytes, "bell") == static_cast<unsigned long>(Signal::bell));
    CHECK(number_of(bytes, "ack") == static_cast<unsigned long>(Signal::ack));
    CHECK(number_of(bytes, "bye") == static_cast<unsigned long>(Signal::bye));
    CHECK(page.says("a header of 16 bytes"));
    CHECK(header_size == 16);
    CHECK((Header{.size = 0xffffff, .kind = Kind{0xff}, .flags = 0xff, .service = 0xffff}.first_word()) ==
          0xffff'ffff'00ff'ffff);
    CHECK(page.says("65,536 for `UnixSocket`"));
    CHECK(max_socket_frame == 65'536);
    CHECK(stream_span(17) == 16 + 32);
}

TEST_CASE("the page has each word and each lane of shared memory where it is", "[wire]") {
    const Page page;
    const auto words = page.table("Areas", 1);
    const std::pair<const char*, std::uint64_t> services[] = {
        {"requests: credit", ServiceArea::requests_credit},
        {"requests: asleep", ServiceArea::requests_asleep},
        {"responses: wants room", ServiceArea::responses_wants_room},
        {"events: wants room", ServiceArea::events_wants_room}};
    for (const auto& [name, place] : services) CHECK(number_of(words, name) == place);
    const std::pair<const char*, std::uint64_t> clients[] = {{"responses: credit", ClientArea::responses_credit},
                                                             {"events: credit", ClientArea::events_credit},
                                                             {"responses: asleep", ClientArea::responses_asleep},
                                                             {"events: asleep", ClientArea::events_asleep},
                                                             {"requests: wants room", ClientArea::requests_wants_room}};
    std::vector<Cells> right;
    for (const auto& row : words) right.push_back({row[2], row[3]});
    for (const auto& [name, place] : clients) CHECK(number_of(right, name) == place);

    constexpr std::uint64_t lane = min_lane;
    CHECK(page.says("| service's | 4,096 + 2 L | responses at 4,096, events at 4,096 + L |"));
    CHECK(ServiceArea{lane, lane}.size() == 4096 + 2 * lane);
    CHECK(ServiceArea::responses() == 4096);
    CHECK(ServiceArea{lane, lane}.events() == 4096 + lane);
    CHECK(page.says("| client's | 4,096 + L | requests at 4,096 |"));
    CHECK(ClientArea{lane}.size() == 4096 + lane);
    CHECK(ClientArea::requests() == 4096);
    CHECK(page.says("a power of two from 64 KiB to 64 MiB"));
    CHECK((min_lane == 64 << 10 && max_lane == 64 << 20));
    CHECK(page.says("`0x0000'0008'0000'0000`"));
    CHECK(wrap_marker == 0x0000'0008'0000'0000);
    CHECK(page.says("an eighth of the lane or 16 KiB"));
    CHECK(LaneShape::of(max_lane).step == 16 << 10);
}
