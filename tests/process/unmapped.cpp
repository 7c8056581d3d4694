// SPDX-License-Identifier: BSL-1.0
// Peers in user namespaces where nobody is mapped: every id reads as the kernel's overflow id there, one's own
// included. Who compares without thinking takes such a stranger for himself.
#include "process/peers.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Whether this process may make user namespaces; containers often forbid it.
bool has_user_namespaces() {
    if (!Child("peer", {"descriptors", "nobody"}).line().starts_with("failed")) return true;
    WARN("not tested: user namespaces, for they can't be made here");
    return false;
}

std::string refusal(errc code) { return "failed: " + text_of(code); }

}  // namespace

TEMPLATE_LIST_TEST_CASE("a peer whose ids aren't mapped is no rule's match, not even of one as unmapped", "[process]",
                        Transports) {
    if (!has_user_namespaces()) return;
    struct Row {
        std::vector<std::string> service, client;
        std::string outcome;
    };
    const std::string in = "connected", no = refusal(errc::not_permitted), wrong = refusal(errc::wrong_service);
    const std::vector<Row> rows = {
        // Both see 65534 on the other side, and as their own id: the naive "same user".
        {{"nobody"}, {"nobody"}, wrong},
        {{"nobody"}, {"nobody", "auth=anyone"}, no},
        {{"nobody", "auth=uids"}, {"nobody", "auth=anyone"}, no},
        {{"nobody", "auth=gids"}, {"nobody", "auth=anyone"}, no},
        {{"nobody", "auth=not2001"}, {"nobody", "auth=anyone"}, no},  // a negation is no way in
        {{"nobody", "auth=anyone"}, {"nobody", "auth=anyone"}, in},
        {{"nobody", "auth=anyone"}, {"nobody", "auth=not2001"}, wrong},
        // A stranger to the one, who is known to the other.
        {{}, {"nobody"}, wrong},
        {{}, {"nobody", "auth=anyone"}, in},  // the service sees its own user, whatever he reads of himself
        {{"nobody"}, {}, wrong},
        {{"nobody"}, {"auth=anyone"}, no},
        {{"nobody", "auth=anyone"}, {"auth=anyone"}, in},
    };
    for (const auto& row : rows) {
        ServicePeer<TestType> service(row.service);
        REQUIRE(service.ready());
        std::string both = "service:";
        for (const auto& word : row.service) both += ' ' + word;
        both += ", client:";
        for (const auto& word : row.client) both += ' ' + word;
        INFO(both);
        ClientPeer<TestType> client(service.name, row.client);
        // A client outside sees who the service is: its namespace changes nothing about that.
        const bool outside = std::find(row.client.begin(), row.client.end(), "nobody") == row.client.end();
        CHECK(client.said == (outside && row.outcome == wrong ? no : row.outcome));
        if (client.connected()) CHECK(client.ask("add") == "sum 1");
    }
}

TEMPLATE_LIST_TEST_CASE("a service knows a client by the user he is outside of his own namespace", "[process][root]",
                        Transports) {
    if (!is_root() || !has_user_namespaces()) return;
    ServicePeer<TestType> service({"auth=uids"});
    REQUIRE(service.ready());
    CHECK(ClientPeer<TestType>(service.name, {"user=2001", "nobody", "auth=anyone"}).connected());
    CHECK(ClientPeer<TestType>(service.name, {"user=2003", "nobody", "auth=anyone"}).said ==
          refusal(errc::not_permitted));
}
