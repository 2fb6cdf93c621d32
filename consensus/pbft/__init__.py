"""The Byzantine fault tolerant engine: QBFT's safety rules with quorum-gated rounds.

docs/spec/pbft.md numbers the rules; the code names a rule where it follows it.
"""
