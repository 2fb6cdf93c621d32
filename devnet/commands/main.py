"""The root command, and how an error becomes an exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click
from typing_extensions import override

from devnet.commands.context import Target
from devnet.errors import DevnetError
from devnet.layout import ROOT_DEFAULT

COMMANDS: Final = {
    "up": ("devnet.commands.running", "Make the network, start it, wait until it is ready."),
    "demo": ("devnet.demo", "The story: records, consent, access, refusal, receipts."),
    "status": ("devnet.commands.running", "Show how the nodes are doing."),
    "endpoints": ("devnet.commands.running", "Show where everything is."),
    "logs": ("devnet.commands.logs", "Show what the nodes wrote, merged."),
    "kill": ("devnet.commands.faults", "End a node at once, as a crash would."),
    "pause": ("devnet.commands.faults", "Freeze a node: connected, and silent."),
    "resume": ("devnet.commands.faults", "Let a paused node go on."),
    "stop": ("devnet.commands.faults", "Stop a node as an operator would."),
    "start": ("devnet.commands.faults", "Start a node."),
    "restart": ("devnet.commands.faults", "Stop and start a node."),
    "add-node": ("devnet.commands.membership", "Let a node join, fetch the chain, and vote."),
    "replace-node": ("devnet.commands.membership", "Give a validator's vote to a new machine."),
    "remove-node": ("devnet.commands.membership", "Let a node leave, and stop it."),
    "load": ("devnet.commands.loading", "Send transactions at a rate; none may be lost."),
    "test": ("devnet.commands.testing", "Histories under faults, judged from outside."),
    "kills": ("devnet.commands.killing", "Kill nodes at random under load; nothing may be lost."),
    "down": ("devnet.commands.running", "Stop all nodes; what they recorded stays."),
    "reset": ("devnet.commands.removing", "Forget the chain; keys and genesis stay."),
    "destroy": ("devnet.commands.removing", "Remove everything."),
    "doctor": ("devnet.commands.examining", "Check this machine."),
}
"""Name, the module whose attribute of that name is the command, and a line of help."""


class Root(click.Group):
    """Imports a command when it is called, for most of them need little of what there is."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: object = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.{cmd_name} is not a command")
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The inherited one imports every command to learn its line of help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--network",
    metavar="NAME",
    envvar="MEDQUORUM_DEVNET",
    help="Which network of this checkout. [the manifest's name, else default]",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="MEDQUORUM_DEVNET_ROOT",
    default=ROOT_DEFAULT,
    help="Where networks live. [devnet/.run]",
)
@click.pass_context
def cli(context: click.Context, *, network: str | None, root: Path) -> None:
    """A development network of MedQuorum on this machine: native processes, public keys."""
    context.obj = Target(root.absolute(), network)


def main() -> None:
    """The entry point of `python -m devnet`."""
    try:
        result = cli.main(prog_name="scripts/devnet", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(64)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted.", err=True)
        sys.exit(130)
    except DevnetError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)
