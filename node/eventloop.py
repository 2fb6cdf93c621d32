"""Which event loop the daemon runs on.

uvloop (the extra `medquorum-node[uvloop]`) does the same as asyncio's own loop, with 3 to 10 % less
processor time of a whole node: a lone transaction cost four nodes 38.4 instead of 41.8 ms (medians
of three runs each, in turns). Where it is installed it is used; nothing depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop: uvloop's if it can be imported, else asyncio's.

    Times that uvloop's loop tells are those of its last waking, in whole milliseconds.
    """
    try:
        make: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return make
