"""The commands of `scripts/devnet`, one module a group of them.

main       the root, the options of every command, and how an error becomes an exit code
running    up, status, endpoints, down
faults     kill, pause, resume, stop, start, restart
logs       logs
removing   reset, destroy
show       printing
"""

from __future__ import annotations
