"""MedQuorum SDK: what a client and a validator must agree on byte for byte, and the client itself.

Nothing is imported here, so that `import medquorum.codec` costs only the codec. Bottom up:

    invariants   require() for our own promises
    limits       the largest things that are read from files and from the network
    errors       the exceptions of this package
    catalogue    the codes that a node and a ledger answer with (errors.toml)
    codec        canonical MessagePack
    encoding     bytes in JSON: hexadecimal and base64url
    hashing      hashes tagged by kind
    keys         Ed25519 through libsodium
    merkle       RFC 6962 lists
    statetree    proofs of the ledger state
    transaction  operations, signers, signatures
    block        header, result, validators
    certificate  votes and commit certificates
    genesis      what a chain starts from; its hash is the chain id
    history      which validators spoke for the chain at which height
    recovery     organisations name the validators after a disaster
    receipt      one file that proves one transaction, verified without a node
    evidence     two statements of one validator that contradict each other; evidence_file proves
                 with them who voted then
    kem          keys to which record keys are wrapped (HPKE, X25519 with ML-KEM-768)
    resource     the canonical form of a record (RFC 8785)
    vault        commitments, encryption and envelopes of records
    keyfile      encrypted key files
    request      signed HTTP requests
    schema       published shapes of operation bodies, and bytes from JSON fields
    builder      transactions from typed or published bodies, signed here or offline
    connection   HTTP with retries; sse and subscription follow events through it
    payloads     the JSON answers of a node; answers has what the client makes of them
    client       the asynchronous client; client_sync wraps it
"""

from __future__ import annotations
