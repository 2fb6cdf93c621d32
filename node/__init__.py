"""The daemon: connects consensus, storage and p2p, and serves the ledger over HTTP.

`node.ledger` is pure; everything else here does I/O, and only `node.app` builds things.
"""
