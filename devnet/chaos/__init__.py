"""Histories over real processes: scenarios of faults, a proxy between the nodes, and checkers that
judge from outside. `scripts/devnet test` is the way in; docs/histories.md explains it.
"""
