"""Measurements: what this machine can do (`limits`), what agreement costs (`consensus`), and
what four validators on it can do (`e2e`).

limits      single steps of the work on one core
consensus   engines alone, by the number of validators
load        transactions signed beforehand, and load that keeps a fixed number on their way
e2e         saturation, half load, and CPU time for each committed transaction
"""

from __future__ import annotations
