"""How the daemon's process looks for garbage.

What is alive once a node serves (code, schemas, its parts) stays alive, and most of what comes
later is freed by counting references. Python's collector knows neither: it looked at a node's
90,000 lasting objects again and again, in pauses of up to 60 ms. Figures: docs/benchmarks.md.
"""

from __future__ import annotations

import gc

from node.limits import HEAP_OLD_PASSES, HEAP_YOUNG_OBJECTS


def settle_heap() -> None:
    """Set everything that is alive now apart from what the collector looks at, and let it look
    more seldom. Cycles that are made later are still found; those that an earlier call set apart,
    and that died since, are found now.

    Holds up the process for a full collection, about 0.1 s: call it before work is waited for.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(HEAP_YOUNG_OBJECTS, HEAP_OLD_PASSES, HEAP_OLD_PASSES)
