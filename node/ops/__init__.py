"""For operators: health, metrics and the disk guard, on a port of their own.

diskguard  acts before a disk is full
metrics    what is measured, and the page for Prometheus
health     whether the node is alive, and whether it is ready
app        all of it in one application
"""

from __future__ import annotations
