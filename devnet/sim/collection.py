"""The garbage collector looks at a run when it is over: earlier it finds too little for its time.

It also finds tasks of dead nodes, at moments that depend on how much was allocated before.
A run that is a function of its seed does not want to hear of them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """While this lasts, nothing that refers to itself is freed."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
