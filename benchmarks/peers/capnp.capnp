# SPDX-License-Identifier: BSL-1.0
# capnp.capnp: the interfaces of capnp.cpp.
@0xb5e4c1d0a7f36291;

interface Sink {
    put @0 (data :Data) -> stream;
}

interface Bench {
    call @0 (data :Data) -> (data :Data);
    open @1 (events :Sink) -> (messages :Sink);
    poke @2 () -> ();
}
