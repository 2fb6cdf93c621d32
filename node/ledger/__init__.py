"""The replicated state machine: what a committed transaction does to the state.

Pure: no I/O, clock or randomness. Equal blocks on equal states give equal results on every node.
"""
