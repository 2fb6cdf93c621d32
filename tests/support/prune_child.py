"""A process that commits heights and prunes at once, until it is killed, and says on its standard
output which heights are durable and how far blocks were given up.

    python -m tests.support.prune_child DIRECTORY
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from node.threads import Threads
from tests.support.pruning import Pruned
from tests.support.signed_chain import SignedChain

KEPT = 5
WINDOW = 3
HURRIED = {
    "lines.remembered_heights": lambda _view: WINDOW,
    "background.STEP_HEIGHTS": 1,
    "background.READ_REST_S": 0.0,
    "background.STEP_REST_S": 0.0,
    "background.COMPACT_REST_S": 0.0,
}
"""As many batches as can be, and no rest between them: more moments to be killed at."""


async def _live(pruned: Pruned) -> None:
    pruner = pruned.pruner()
    await pruner.finish_last()

    async def commit() -> None:
        while True:
            await pruned.threads.writer.run(pruned.member.grow, 1)
            print(f"tip {pruned.member.chain.tip.height}", flush=True)  # noqa: T201 - its answer

    async def prune() -> None:
        while True:
            if await pruner.step():
                print(f"oldest {pruned.oldest()}", flush=True)  # noqa: T201 - its answer
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(commit())
        group.create_task(prune())


def main(directory: Path) -> None:
    """Go on until killed."""
    pruned = Pruned(SignedChain(directory / "chain"), Threads(verifiers=1))
    pruned.policy = replace(pruned.policy, keep_heights=KEPT, archive=directory / "archives")
    with ExitStack() as hurried:
        for name, value in HURRIED.items():
            hurried.enter_context(patch(f"node.pruning.{name}", value))
        asyncio.run(_live(pruned))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
