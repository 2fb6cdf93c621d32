"""Locking a study's data. Two people recompute what the chain says, and so does every node."""

from __future__ import annotations

from msgspec.structs import replace

from medquorum.invariants import require
from node.ledger.codes import Code
from node.ledger.context import Context
from node.ledger.errors import refuse_unless
from node.ledger.roles import Role
from node.ledger.types.trials.bodies import Lock, Unlock
from node.ledger.types.trials.chain import data_root
from node.ledger.types.trials.people import require_two
from node.ledger.types.trials.rows import LOCKS, STUDIES, LockRow, StudyState
from node.ledger.types.trials.studies import load_open_study, load_study


def lock(body: Lock, ctx: Context) -> None:
    """trial.lock. By the sponsor and a statistician, who are two people."""
    study = load_open_study(ctx.state, body.study)
    require_two(ctx, (Role.SPONSOR,), study.sponsor, (Role.STATISTICIAN,))
    refuse_unless(body.n_subjects == study.enrolled, Code.COMMITMENT, "another number of subjects")
    refuse_unless(
        body.data_root == data_root(ctx.state, body.study), Code.COMMITMENT, "another data root"
    )
    number = study.locks + 1
    row = LockRow(
        data_root=body.data_root,
        n_subjects=body.n_subjects,
        locked=ctx.height,
        unlocked=0,
        reason=(),
        document_hash=(),
    )
    LOCKS.put(ctx.state, row, body.study, number)
    STUDIES.put(ctx.state, replace(study, state=StudyState.LOCKED, locks=number), body.study)
    ctx.emit("trial.data_locked", study=body.study, data_root=body.data_root, number=number)


def unlock(body: Unlock, ctx: Context) -> None:
    """trial.unlock. By the sponsor and a statistician. Who looks at the study sees it for ever."""
    study = load_study(ctx.state, body.study)
    refuse_unless(study.state is StudyState.LOCKED, Code.STATE, "the study is not locked")
    require_two(ctx, (Role.SPONSOR,), study.sponsor, (Role.STATISTICIAN,))
    row = LOCKS.get(ctx.state, body.study, study.locks)
    if row is None:
        require(False, "a locked study has a lock")
        return
    lifted = replace(
        row, unlocked=ctx.height, reason=(body.reason,), document_hash=(body.document_hash,)
    )
    LOCKS.put(ctx.state, lifted, body.study, study.locks)
    STUDIES.put(ctx.state, replace(study, state=StudyState.OPEN), body.study)
    ctx.emit("trial.data_unlocked", study=body.study, reason=body.reason, number=study.locks)
