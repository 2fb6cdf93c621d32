"""How far a long command is."""

from __future__ import annotations

import sys
import time

import click


class ProgressLine:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next_s = 0.0
        self._drawn = False

    def show(self, what: str, done: int, of: int) -> None:
        """Draw it, a few times a second at most."""
        now_s = time.monotonic()
        if not self._shown or (now_s < self._next_s and done < of):
            return
        self._next_s = now_s + 0.2
        self._drawn = True
        click.echo(f"\r{what}: {done} of {of} ({100 * done // of} %)\x1b[K", nl=False, err=True)

    def end(self) -> None:
        """Give the line back."""
        if self._drawn:
            click.echo("", err=True)
