"""Backups of the chain of a running node, and chains that are built from them again.

format     what a backup is made of
making     makes one while the chain goes on
schedule   has them made by the clock
restoring  builds a chain from one, and proves it; needs the tools of node.repair, and so is nothing
           that the daemon knows
"""

from __future__ import annotations
