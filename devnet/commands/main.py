"""The root command, and how an error becomes an exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from devnet.commands.context import Target
from devnet.commands.running import down, endpoints, status, up
from devnet.errors import DevnetError
from devnet.layout import ROOT_DEFAULT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
def cli(context: click.Context, network: str | None, root: Path) -> None:
    """A development network of MedQuorum on this machine: native processes, public keys."""
    context.obj = Target(root.absolute(), network)


for command in (up, status, endpoints, down):
    cli.add_command(command)


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
