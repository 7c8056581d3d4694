// expect: this message is a request \(its id is a MessageId\): a client sends it; a session sends events
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

using Session = qbipc::Session<qbipc::UnixSocket, Account>;
void f(Session& session) { session.send(Clear{}); }
