"""The asynchronous shell around the driver:

drain events, step, begin the work, make durable on the writer thread, obey; compact the log when it
has grown.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from node.driver import Driver
from node.inbox import Inbox
from node.threads import Worker


async def run_consensus(
    driver: Driver,
    inbox: Inbox,
    writer: Worker,
    *,
    durable: Callable[[float], None],
    stepped: Callable[[], None],
) -> None:
    """Run until cancelled. All events that wait share one fsync, whose time `durable` is told;
    `stepped` is called once all that followed from them is under way.

    A failure to write propagates and stops the node: after a failed fsync nobody knows what is on
    the disk.
    """
    round_ = driver.start()
    while True:
        if round_.needs_disk:
            # The work that follows from a vote needs not wait for the vote's two or three syncs.
            driver.begin(round_)
            started = monotonic()
            await writer.run(driver.make_durable, round_)
            durable(monotonic() - started)
        driver.obey(round_)
        stepped()
        checkpoint = driver.checkpoint()
        if checkpoint is not None:
            await writer.run(driver.compact, checkpoint)
        round_ = driver.step(await inbox.drain())
