"""Good examples of the trials module's types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from medquorum.transaction import Operation
from node.ledger.types.trials.bodies import AmendmentKind
from tests.support.examples import Example
from tests.support.ledger import By, Ledger, some_id
from tests.support.trials import Trial

Made = tuple[Operation, Sequence[By]]


def _register(trial: Trial) -> Made:
    return trial.registration(some_id("another study")), [trial.sponsor]


def _decide(trial: Trial) -> Made:
    return trial.decision(1), trial.committee


def _amend(trial: Trial) -> Made:
    return trial.amendment(2, AmendmentKind.SUBSTANTIAL), [trial.sponsor]


def _form(trial: Trial) -> Made:
    return trial.form(2, 1), [trial.sponsor, *trial.committee]


def _consent(trial: Trial) -> Made:
    return trial.consent(some_id("participant")), [trial.investigator, trial.nurse]


def _withdraw(trial: Trial) -> Made:
    person = trial.keyed()
    return trial.withdrawal(person.id), [person]


def _enrol(trial: Trial) -> Made:
    return trial.enrolment(trial.consented(), 1), [trial.investigator]


def _submit(trial: Trial) -> Made:
    return trial.submission(trial.enrolled(), "entry"), [trial.investigator]


def _correct(trial: Trial) -> Made:
    spid = trial.enrolled()
    trial.ledger.accept(trial.submission(spid, "entry"), by=trial.investigator)
    return trial.correction(spid, 1, "better"), [trial.investigator]


def _lock(trial: Trial) -> Made:
    return trial.locking(), [trial.sponsor, trial.statistician]


def _unlock(trial: Trial) -> Made:
    both = [trial.sponsor, trial.statistician]
    trial.ledger.accept(trial.locking(), by=both)
    return trial.unlocking(), both


_MAKERS: Final[Mapping[str, Callable[[Trial], Made]]] = {
    "trial.register": _register,
    "trial.ec.decide": _decide,
    "trial.amend": _amend,
    "trial.consent.version": _form,
    "trial.consent.sign": _consent,
    "trial.consent.withdraw": _withdraw,
    "trial.enrol": _enrol,
    "trial.data.submit": _submit,
    "trial.data.correct": _correct,
    "trial.lock": _lock,
    "trial.unlock": _unlock,
}


def _example(maker: Callable[[Trial], Made]) -> Callable[[Ledger], Example]:
    def build(ledger: Ledger) -> Example:
        operation, by = maker(Trial(ledger=ledger))
        return Example(operation, by)

    return build


EXAMPLES: Final = {name: _example(maker) for name, maker in _MAKERS.items()}
