"""Checks and mends the data of a node that does not run.

Nothing here is part of a running node. Each file is one tool, without its command line: it reads
and writes stores that are given to it, and says what it found.
"""
