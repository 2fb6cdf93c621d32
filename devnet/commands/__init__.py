"""The commands of `scripts/devnet`, one module a group of them.

main       the root, and how an error becomes an exit code
    context    which network a command is for
running    up, status, endpoints, down
faults     kill, pause, resume, stop, start, restart
logs       logs
removing   reset, destroy
show       printing
"""

from __future__ import annotations
