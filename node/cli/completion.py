"""`medquorum completion`."""

from __future__ import annotations

from typing import Final, Literal

import click
from click.shell_completion import get_completion_class

from node.cli.exits import Ended, Exit

PROGRAM: Final = "medquorum"
_VARIABLE: Final = "_MEDQUORUM_COMPLETE"


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that completes this command.

    \b
    bash:  source <(medquorum completion bash)
    zsh:   source <(medquorum completion zsh)
    fish:  medquorum completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise Ended(Exit.USAGE, f"{shell} cannot be completed")
    click.echo(kind(context.find_root().command, {}, PROGRAM, _VARIABLE).source())
