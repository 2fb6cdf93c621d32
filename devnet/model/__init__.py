"""Explores what production engines can do, step by step and without chance.

forking     copies of engines, and what makes two of them equal
world       pretended keys, blocks and results
automaton   an engine as a table: local states and messages are numbers, each step is made once
promises    what a validator has said, and what must hold of it
scope       who takes part and what is tried; PBFT with a liar, Raft with a crash
explore     all interleavings within a scope
healing     from a state in which only timers are left, timers must lead on
twins       all partitions and leaders of a few rounds, with two copies of one validator
"""

from __future__ import annotations
