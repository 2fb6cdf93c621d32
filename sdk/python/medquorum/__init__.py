"""MedQuorum SDK: what a client and a validator must agree on byte for byte, and the client itself.

Nothing is imported here, so that `import medquorum.codec` costs only the codec. The modules, bottom up:

    invariants   require() for our own promises
    errors       the exceptions of this package, and the catalogue of codes that the network answers with
    codec        canonical MessagePack
    hashing      hashes tagged by kind
    keys         Ed25519 through libsodium
    merkle       RFC 6962 lists
    statetree    proofs of the ledger state
    transaction  operations, signers, signatures
    block        header, result, validators
    certificate  votes and commit certificates
    genesis      what a chain starts from; its hash is the chain id
    receipt      one file that proves one transaction, verified without a node
    vault        commitments, encryption and key wrapping of records
    client       the asynchronous client; client_sync wraps it
"""

from __future__ import annotations
