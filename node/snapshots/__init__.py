"""Snapshots of the ledger at a height: making, keeping, serving and fetching them, and beginning a
chain with one (docs/spec/snapshot.md).
"""
