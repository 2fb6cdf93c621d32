"""What is kept of heights that were asked about is what is stored of them, and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from medquorum.codec import encode
from node.errors import GoneError
from node.receipts import SignedHeights, certified_at
from tests.support.daemon import local_node


async def test_what_is_kept_of_a_height_is_what_its_validators_signed(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        for _ in range(3):
            await node.commit()
        blocks, kept = node.chain.blocks, SignedHeights(heights_max=2)
        for height in (1, 2, 3, 1, 3, 3):
            signed, certified = kept.at(blocks, height), certified_at(blocks, height)
            assert certified is not None
            assert signed.header == encode(certified.header)
            assert signed.result == encode(certified.result)
            assert signed.certificate == encode(certified.certificate)
            assert signed.validators == encode(blocks.validators(height))
            assert len(kept) <= 2


async def test_a_height_that_is_not_here_is_gone_and_not_remembered(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node:
        kept = SignedHeights()
        with pytest.raises(GoneError):
            kept.at(node.chain.blocks, 1)
        await node.commit()
        assert kept.at(node.chain.blocks, 1).header != b""
