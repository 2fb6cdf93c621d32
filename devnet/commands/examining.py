"""doctor: whether this machine can run a network."""

from __future__ import annotations

import click

from devnet.commands.context import Target, pass_target
from devnet.doctor import examine


@click.command
@pass_target
def doctor(target: Target) -> int:
    """Check this machine and this network, and say what to do about what is wrong."""
    failed = 0
    for finding in examine(target.directory()):
        mark = click.style("ok   ", fg="green") if finding.ok else click.style("FAIL ", fg="red")
        click.echo(f"{mark} {finding.check:<13} {finding.detail}")
        if not finding.ok:
            failed += 1
            click.echo(f"      {'':<13} -> {finding.remedy}")
    return min(failed, 1)
