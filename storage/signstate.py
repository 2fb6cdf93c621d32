"""The guard of the validator key:

what was signed, on the disk before the signature leaves (docs/spec/storage.md section 4).

Rules, numbered as there: G1 Votes are ordered by (height, round, phase). A vote below the highest
signed one is refused, unless it is a repetition. G2 Signing the same digest at the same (height,
round, phase) again is allowed; another digest there never is. G3 `check_and_save` and `save_all`
return after the file and its directory entry are on the disk. G4 A file that is not whole is never
guessed around: it raises, and the node observes until an operator has decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Annotated, Final, Literal
from zlib import crc32

from msgspec import Meta

from medquorum.codec import U8, U32, Hash, Height, Wire, decode, encode
from medquorum.errors import DecodeError
from medquorum.invariants import require
from medquorum.keys import PublicKey
from storage.errors import (
    DamagedSignStateError,
    DiskError,
    DoubleSignRefusedError,
    FormatError,
    SignStateMismatchError,
)
from storage.files import DiskFiles, Files, replace_file
from storage.limits import SIGNED_VOTES_KEPT_MAX

_MAGIC_KIND: Final = b"MQSIGN"
VERSION: Final = 1
_MAGIC: Final = _MAGIC_KIND + b"%02d" % VERSION
_CHECK: Final = Struct(">I")
_BYTES_MAX: Final = 16 * 1024


@dataclass(frozen=True, slots=True, order=True)
class SignedVote:
    """A vote about to be signed.

    `phase` orders the votes of one round; `digest` (32 bytes) says what the vote says.
    """

    height: int
    round: int
    phase: int
    digest: bytes

    @property
    def step(self) -> tuple[int, int, int]:
        """Where it stands in the order of G1."""
        return (self.height, self.round, self.phase)


class _Vote(Wire, frozen=True):
    round: U32
    phase: U8
    digest: Hash


class _File(Wire, frozen=True):
    version: Literal[1]
    chain_id: Hash
    key: PublicKey
    height: Height
    votes: Annotated[tuple[_Vote, ...], Meta(max_length=SIGNED_VOTES_KEPT_MAX)]


class SignState:
    """The open sign state of one validator key on one chain. One thread at a time may use it."""

    __slots__ = ("_failed", "_files", "_path", "_state")

    def __init__(self, path: Path, files: Files, state: _File) -> None:
        """For `create` and `open` only."""
        self._path = path
        self._files = files
        self._state = state
        self._failed: DiskError | None = None

    @staticmethod
    def exists(path: Path, *, files: Files | None = None) -> bool:
        """Whether there is a sign-state file.

        Signing without one on a chain with blocks needs an operator's word.
        """
        return (DiskFiles() if files is None else files).size(path) is not None

    @classmethod
    def create(
        cls, path: Path, chain_id: bytes, key: bytes, *, files: Files | None = None
    ) -> SignState:
        """A fresh sign state of a key that has signed nothing on this chain.

        There must be no file at `path`.
        """
        files = DiskFiles() if files is None else files
        require(files.size(path) is None, f"{path} exists already")
        files.make_directory(path.parent)
        state = cls(path, files, _File(1, chain_id, key, 0, ()))
        state._write(state._state)
        return state

    @classmethod
    def open(cls, path: Path, *, files: Files | None = None) -> SignState:
        """Read the sign state at `path`.

        Raises DamagedSignStateError (also if it is missing) and FormatError (G4).
        """
        files = DiskFiles() if files is None else files
        data = files.read(path)
        if data is None:
            raise DamagedSignStateError(path, "there is no such file")
        return cls(path, files, _parse(path, data))

    def check_owner(self, chain_id: bytes, key: bytes) -> None:
        """Raise SignStateMismatchError unless the file belongs to this chain and this validator
        key.
        """
        if self._state.chain_id != chain_id:
            raise SignStateMismatchError(self._path, "chain")
        if self._state.key != key:
            raise SignStateMismatchError(self._path, "key")

    @property
    def chain_id(self) -> bytes:
        """The chain on which the votes were cast."""
        return self._state.chain_id

    @property
    def last(self) -> tuple[int, int, int] | None:
        """The highest (height, round, phase) signed, or None if nothing was signed yet."""
        if len(self._state.votes) == 0:
            return None
        vote = self._state.votes[-1]
        return (self._state.height, vote.round, vote.phase)

    def check_and_save(self, height: int, round_: int, phase: int, digest: bytes) -> None:
        """Allow this one vote, durably (G1 to G3), or raise DoubleSignRefusedError and change
        nothing.

        Raises DiskFullError and DiskFailedError: then nothing may be signed, and nothing can be
        until the file is opened again.
        """
        self.save_all((SignedVote(height, round_, phase, digest),))

    def save_all(self, votes: Sequence[SignedVote]) -> None:
        """Allow these votes in this order with one write: all of them or none."""
        if self._failed is not None:
            raise self._failed
        state = self._state
        for vote in votes:
            state = _allow(state, vote)
        if state is not self._state:
            self._write(state)
            self._state = state

    def _write(self, state: _File) -> None:
        body = encode(state)
        try:
            replace_file(self._files, self._path, _MAGIC + _CHECK.pack(crc32(body)) + body)
        except DiskError as error:
            self._failed = error
            raise


def _allow(state: _File, vote: SignedVote) -> _File:
    """The state after `vote`, the same object if it repeats one. Raises DoubleSignRefusedError."""
    require(vote.height >= 1, "votes are cast from height 1 on")
    entry = _Vote(vote.round, vote.phase, vote.digest)
    if vote.height > state.height:
        return _File(1, state.chain_id, state.key, vote.height, (entry,))
    newest = state.votes[-1]
    last = (state.height, newest.round, newest.phase)
    if vote.height == state.height and entry in state.votes:
        return state
    if vote.step <= last:
        same = vote.height == state.height and any(
            (known.round, known.phase) == (vote.round, vote.phase) for known in state.votes
        )
        raise DoubleSignRefusedError(vote.step, vote.step if same else last)
    votes = (*state.votes, entry)[-SIGNED_VOTES_KEPT_MAX:]
    return _File(1, state.chain_id, state.key, state.height, votes)


def _parse(path: Path, data: bytes) -> _File:
    magic, rest = data[: len(_MAGIC)], data[len(_MAGIC) :]
    if magic == _MAGIC:
        return _content(path, rest)
    version = magic[len(_MAGIC_KIND) :]
    foreign = magic.startswith(_MAGIC_KIND) and len(magic) == len(_MAGIC) and version.isdigit()
    if not foreign:
        raise DamagedSignStateError(path, "it does not begin as a sign state does")
    try:
        _content(path, rest)
    except DamagedSignStateError:
        raise FormatError(path, int(version), VERSION) from None
    # No other version has this content, so the damage is in the digits that say which it is.
    raise DamagedSignStateError(path, "its version is not that of its content")


def _content(path: Path, rest: bytes) -> _File:
    """What stands behind the version, as this version writes it."""
    check, body = rest[: _CHECK.size], rest[_CHECK.size :]
    if check != _CHECK.pack(crc32(body)):
        raise DamagedSignStateError(path, "its checksum does not match")
    try:
        return decode(_File, body, size_max=_BYTES_MAX)
    except DecodeError as error:
        raise DamagedSignStateError(path, str(error)) from None
