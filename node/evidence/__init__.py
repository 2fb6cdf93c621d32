"""Proof that a validator contradicted itself: kept by every node, and passed on until all have it.

book keeps it, exchange moves it between nodes; what it proves, medquorum.evidence says.
"""

from __future__ import annotations
