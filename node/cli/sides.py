"""The sides of `medquorum diff` where one of them runs: its API, or the database of a home."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from medquorum.block import Header, Result
from medquorum.codec import WireT, decode
from medquorum.encoding import from_base64url
from medquorum.errors import DecodeError
from medquorum.statetree import StateProof, SubRoot
from node.cli.exits import Ended, Exit
from node.cli.fetch import RefusedEnd, get_json
from node.repair.certified import Fate
from storage.chain import ChainStore
from storage.errors import DamagedStoreError
from storage.kv import KV
from storage.state import head_at, oldest_state

_GONE = "pruned"
_ANY_KEY = "governance/00"
"""A proof of any key, or of its absence, names the roots of all modules."""


class _Status(msgspec.Struct):
    chain_id: str
    height: int
    oldest_block: int


class _Raw(msgspec.Struct):
    header: str
    result: str


class _Header(msgspec.Struct):
    raw: _Raw


class _Headers(msgspec.Struct):
    headers: list[_Header]


class _Block(msgspec.Struct):
    tx_ids: list[str]


class _Tx(msgspec.Struct):
    code: str = ""
    operation: int = 0


class _State(msgspec.Struct):
    proof: str


class RunningSide:
    """A node, asked through its API. What it says is taken at its word: certificates are not
    checked here. Ends the command if it does not answer as a node does.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._status = get_json(_Status, url, "v1/status")

    @property
    def chain_id(self) -> bytes:
        """See Side."""
        return self._bytes(self._status.chain_id)

    @property
    def oldest(self) -> int:
        """See Side."""
        return self._status.oldest_block

    @property
    def tip(self) -> int:
        """See Side."""
        return self._status.height

    def certified(self, height: int) -> tuple[Header, Result]:
        """See Side."""
        query = {"from": str(height), "limit": "1"}
        page = get_json(_Headers, self._url, "v1/headers", query).headers
        if len(page) != 1:
            raise self._strange(f"no header of height {height}")
        raw = page[0].raw
        header = self._decoded(Header, raw.header)
        if header.height != height:
            raise self._strange(f"height {header.height} where {height} was asked for")
        return header, self._decoded(Result, raw.result)

    def fates(self, height: int) -> Sequence[Fate] | None:
        """See Side. One request for each transaction."""
        try:
            block = get_json(_Block, self._url, f"v1/blocks/{height}")
        except RefusedEnd as refused:
            if refused.problem == _GONE:
                return None
            raise
        found = []
        for tx_id in block.tx_ids:
            tx = get_json(_Tx, self._url, f"v1/txs/{tx_id}")
            found.append(Fate(self._bytes(tx_id), tx.code, tx.operation))
        return found

    def sub_roots(self, height: int) -> Sequence[SubRoot] | None:
        """See Side."""
        query = {"height": str(height)}
        try:
            state = get_json(_State, self._url, f"v1/state/{_ANY_KEY}", query)
        except RefusedEnd as refused:
            if refused.problem == _GONE:
                return None
            raise
        return self._decoded(StateProof, state.proof).sub_roots

    def _decoded(self, kind: type[WireT], text: str) -> WireT:
        try:
            data = from_base64url(text)
            return decode(kind, data, size_max=len(data))
        except (ValueError, DecodeError) as error:
            raise self._strange(str(error)) from None

    def _bytes(self, text: str) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise self._strange(f"{text!r} is not hexadecimal") from None

    def _strange(self, detail: str) -> Ended:
        return Ended(Exit.CONFIG, f"{self._url} answers, but not as a node does: {detail}")


class StoppedSide:
    """The database of a node that does not run."""

    def __init__(self, kv: KV, chain_id: bytes) -> None:
        self._kv = kv
        self._blocks = ChainStore(kv)
        self.chain_id = chain_id

    @cached_property
    def oldest(self) -> int:
        """See Side."""
        return self._blocks.oldest_block()

    @cached_property
    def tip(self) -> int:
        """See Side."""
        return self._blocks.tip()

    def certified(self, height: int) -> tuple[Header, Result]:
        """See Side. Raises DamagedStoreError."""
        header, result = self._blocks.header(height), self._blocks.result(height)
        if header is None or result is None:
            raise DamagedStoreError("the database", f"height {height} is not whole")
        return header, result

    def fates(self, height: int) -> Sequence[Fate] | None:
        """See Side."""
        return [Fate(o.tx_id, o.code, o.operation) for o in self._blocks.outcomes(height)]

    def sub_roots(self, height: int) -> Sequence[SubRoot] | None:
        """See Side."""
        return head_at(self._kv, height).sub_roots if oldest_state(self._kv) <= height else None
