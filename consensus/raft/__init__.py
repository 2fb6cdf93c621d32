"""The crash fault tolerant engine: docs/spec/raft.md."""

from __future__ import annotations
