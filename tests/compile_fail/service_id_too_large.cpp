// expect: an_id_must_fit_its_type_service_ids_have_16_bits_others_32|'service' must be initialized by a constant expression
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Far {
    static constexpr qbipc::ServiceId service = 70000;
    static constexpr qbipc::MessageId id = 1;
};

void f(Client& client) { (void)client.send(Far{}); }
