"""The mutually authenticated transport between nodes. Knows bytes and node keys, not blocks.

The node imports `p2p.transport` and nothing else but `errors`, `limits` and `reasons`. Bottom up:

    reasons     the name of everything that can be refused, dropped or closed
    errors      the exceptions; they carry a reason to where it is counted
    limits      every bound, with its unit
    model       lanes, kinds, frames, addresses, the observer
    identity    certificates made from a node key
    tls         TLS 1.3 contexts, and the key that a handshake proved
    frames      messages on a byte stream, and back
    hello       the first frame, and the last
    ratelimit   token buckets by peer and kind, and by address
    sendqueue   what waits for one lane of one peer
    streams     an open connection, and how it is closed
    handshake   from a socket to a peer that is known
    link        one standing connection
    peers       everything known of every peer; which of two connections stays
    dialer      when to dial, and how long to wait
    listener    accepting strangers, and what they may cost
    transport   all of it together

docs/spec/transport.md says what is on the wire.
"""

from __future__ import annotations
