"""Reads that see everything decided before them, without a block (docs/spec/raft.md, section 7)."""

from __future__ import annotations

from consensus.limits import READS_MAX
from consensus.raft.core import Core, Read
from consensus.raft.messages import Heartbeat, ReadReply, ReadRequest
from consensus.wishes import ReadAnswered

FORWARDED_TICKS_MAX = 2
"""Ticks of the RESEND timer after which a read that a leader was asked for has failed."""


def on_read(core: Core, context: int) -> None:
    """A read of our own: confirm that we lead, or ask whoever does (rules Q1, Q4)."""
    state = core.state
    if state.leading is not None:
        _wait(core, b"", context)
    elif state.leader not in (b"", core.me) and len(core.forwarded) < READS_MAX:
        # Also outside its lease, with which every height begins: the leader is the one to confirm.
        core.forwarded[context] = 0
        core.send(state.leader, ReadRequest(state.height, context))
    else:
        core.out.reads.append(ReadAnswered(context, None))


def on_read_request(core: Core, peer: bytes, request: ReadRequest) -> None:
    """A follower's read."""
    if core.state.leading is None or peer not in core.state.members.position:
        core.reply(peer, ReadReply(core.state.height, request.context, ()))
        return
    _wait(core, peer, request.context)


def on_read_reply(core: Core, reply: ReadReply) -> None:
    """The leader's answer to a read of ours."""
    if core.forwarded.pop(reply.context, None) is None:
        core.drop("read_not_asked")
        return
    height = reply.read[0] if len(reply.read) > 0 else None
    core.out.reads.append(ReadAnswered(reply.context, height))


def _wait(core: Core, asker: bytes, context: int) -> None:
    """Have our leadership confirmed by answers to a heartbeat that is sent from now on (Q1)."""
    state, leading = core.state, core.state.leading
    if leading is None or len(core.reads) >= READS_MAX:
        _answer(core, Read(asker, context, 0), None)
        return
    leading.beat += 1
    core.reads[asker, context] = Read(asker, context, leading.beat)
    entry = () if state.append is None else (state.entry,)
    core.send(None, Heartbeat(state.height, state.term, leading.beat, entry))


def cover(core: Core) -> None:
    """The entry leaves now: who acknowledges it confirms these reads as well (rule Q3)."""
    for read in core.reads.values():
        read.covered = True


def answer_covered(core: Core) -> None:
    """A majority acknowledged our entry: its height is a read height for those it covers (Q3)."""
    leading = core.state.leading
    if leading is not None and not leading.reads_wait:
        _answer_all(core, [read for read in core.reads.values() if read.covered], 0)


def answer(core: Core) -> bool:
    """Answer the reads after which a majority followed us, unless they wait (rules Q1, Q2)."""
    state, leading = core.state, core.state.leading
    if leading is None or leading.reads_wait or state.decision is not None or len(core.reads) == 0:
        return False
    beats = sorted([*leading.echoes.values(), leading.beat], reverse=True)
    if len(beats) < state.members.quorum:
        return False
    confirmed = beats[state.members.quorum - 1]
    ready = [read for read in core.reads.values() if read.beat <= confirmed]
    _answer_all(core, ready, -1)
    return len(ready) > 0


def _answer_all(core: Core, ready: list[Read], offset: int) -> None:
    for read in ready:
        del core.reads[read.asker, read.context]
        _answer(core, read, core.state.height + offset)


def _answer(core: Core, read: Read, height: int | None) -> None:
    if read.asker == b"":
        core.out.reads.append(ReadAnswered(read.context, height))
    else:
        known = () if height is None else (height,)
        core.send(read.asker, ReadReply(core.state.height, read.context, known))


def fail_all(core: Core) -> None:
    """We lead no longer: whoever asked has to ask again."""
    for read in list(core.reads.values()):
        _answer(core, read, None)
    core.reads.clear()


def move_on(core: Core) -> None:
    """The next height has begun: as its leader we start over with what waits, else it failed."""
    leading = core.state.leading
    if leading is None:
        fail_all(core)
        return
    if len(core.reads) == 0:
        return
    leading.beat += 1
    for read in core.reads.values():
        read.beat, read.covered = leading.beat, False
    core.send(None, Heartbeat(core.state.height, core.state.term, leading.beat, ()))


def age_forwarded(core: Core) -> None:
    """Give up on a leader that does not answer."""
    for context in [known for known, age in core.forwarded.items() if age >= FORWARDED_TICKS_MAX]:
        del core.forwarded[context]
        core.out.reads.append(ReadAnswered(context, None))
    for context in core.forwarded:
        core.forwarded[context] += 1
