"""The one source of chance of a run."""

from __future__ import annotations

from random import Random


class Dice(Random):
    """A seeded generator that can be asked for a probability."""

    def chance(self, probability: float) -> bool:
        """True with this probability. What cannot happen draws nothing."""
        return probability > 0 and self.random() < probability
