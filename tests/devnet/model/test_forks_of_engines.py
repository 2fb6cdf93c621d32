"""A fork of an engine acts like it and shares nothing with it."""

from __future__ import annotations

import copy

import pytest

from consensus.engine import Effects, Received
from devnet.model.automaton import Automaton, Setting, bits_of
from devnet.model.forking import fingerprint, fork
from devnet.model.world import key_of
from medquorum.quorum import EngineName

ENGINES: tuple[EngineName, ...] = ("pbft", "raft")


def automaton_of(engine: EngineName) -> Automaton:
    """Four validators that obey the rules."""
    return Automaton(Setting(engine, tuple(key_of(number) for number in range(4))))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fork_does_what_a_deep_copy_does_and_leaves_the_original_alone(
    engine: EngineName,
) -> None:
    automaton = automaton_of(engine)
    moves = [automaton.boot(number) for number in range(4)]
    said = moves[0].sent | moves[1].sent | moves[2].sent | moves[3].sent
    assert said != 0
    compared = 0
    for number in bits_of(said):
        sender, _, message = automaton.parcels[number]
        for move in moves:
            local = automaton.locals[move.local]
            if local.number == sender:
                continue
            before = fingerprint(local.engine)
            event = Received(automaton.setting.keys[sender], message)
            forked, copied = fork(local.engine), copy.deepcopy(local.engine)
            effects: tuple[Effects, Effects] = (forked.step(event), copied.step(event))
            assert effects[0] == effects[1]
            assert fingerprint(forked) == fingerprint(copied)
            assert fingerprint(local.engine) == before
            compared += fingerprint(forked) != before
    assert compared > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_is_made_once_and_gives_the_same_state_ever_after(engine: EngineName) -> None:
    automaton = automaton_of(engine)
    leader = automaton.boot(1)
    follower = automaton.boot(0)
    [number, *_] = bits_of(leader.sent)
    first = automaton.move(follower.local, number)
    steps = automaton.steps
    assert automaton.move(follower.local, number) is first
    assert automaton.steps == steps
