"""What a search varies: who takes part, which events happen, and what of a state can be seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from consensus.messages import Message
from devnet.model.automaton import EXECUTED, TIMERS, Automaton, Local, bits_of
from devnet.model.promises import choice_of


@dataclass(slots=True)
class Scope(ABC):
    """One search space. Subclasses say what is particular to an engine."""

    name: str
    automaton: Automaton
    rounds: int
    """Rounds, or terms, from 0 to one less than this: nobody wishes for more by itself."""

    crashes: int = 0
    """How often any validator crashes, all of them together."""

    _first: dict[Hashable, int] = field(default_factory=dict)
    _canonical: dict[int, int] = field(default_factory=dict)

    @property
    def players(self) -> tuple[int, ...]:
        """The validators that run an engine."""
        setting = self.automaton.setting
        return tuple(n for n in range(len(setting.keys)) if n not in setting.byzantine)

    @property
    @abstractmethod
    def needed(self) -> int:
        """How many of the players make a certificate possible."""

    @abstractmethod
    def group(self, message: Message) -> str:
        """Messages of one group are counted together; empty: arrivals of it are not explored."""

    @abstractmethod
    def may_fire(self, local: Local) -> bool:
        """Whether the timer that leads to the next round may fire."""

    @abstractmethod
    def outline(self, local: Local) -> Hashable:
        """What matters of a local state but for votes that were received and not acted on."""

    @abstractmethod
    def forget(self, local: Local) -> None:
        """Drop the votes of others: they were said, so they may arrive again."""

    def offers(self, said: int) -> int:
        """What a liar can say, once the players have said this."""
        del said
        return 0

    @property
    @abstractmethod
    def timer(self) -> int:
        """The event of that timer."""

    def spontaneous(self, local: Local) -> Iterator[int]:
        """Events that need no message."""
        if self.timer in {TIMERS[kind] for kind in local.timers} and self.may_fire(local):
            yield self.timer
        if len(local.running) > 0:
            yield EXECUTED

    def essence(self, message: Message) -> Hashable:
        """What of a message matters to whoever gets it: who signed a proof that holds, does not."""
        return message

    def is_kept(self, message: Message) -> bool:
        """Whether it matters that a message was said; votes that decide always do."""
        return self.group(message) != ""

    def keep(self, sent: int) -> int:
        """The parcels of `sent` that matter, each one as the first that said the same."""
        kept = 0
        for number in bits_of(sent):
            known = self._canonical.get(number)
            if known is None:
                known = self._canonical[number] = self._find(number)
            if known >= 0:
                kept |= 1 << known
        return kept

    def _find(self, number: int) -> int:
        sender, to, message = self.automaton.parcels[number]
        if not self.is_kept(message) and choice_of(message) is None:
            return -1
        return self._first.setdefault((sender, to, self.essence(message)), number)
