"""`medquorum import`: records from other systems."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from medquorum.connection import Retry
from medquorum.keyfile import load_signing_key, read_key_info
from medquorum.keys import SigningKey
from node.cli.exits import Ended, Exit
from node.cli.options import EXISTING_FILE, json_option, passphrase_option
from node.cli.secret import passphrase_for_opening
from node.cli.show import echo_json, table
from node.fhir.errors import FhirImportError
from node.fhir.files import files_of
from node.fhir.hospitals import load_consortium
from node.fhir.pipeline import Options, import_fhir
from node.fhir.progress import LineProgress, NoProgress, Progress, bar
from node.fhir.report import Report, lines_of
from node.ledger.types.records.terms import DefaultPolicy


@click.group("import")
def import_() -> None:
    """Bring records in from other systems."""


@import_.command("fhir")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--hospitals",
    "hospitals_file",
    type=EXISTING_FILE,
    help="Which hospitals the records may belong to, their nodes and keys (TOML).",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What was imported, and who is behind which pseudonym. Keep it, and keep it to yourself. "
    "Default: beside the file of the hospitals.",
)
@click.option(
    "--default-policy",
    type=click.Choice([policy.value for policy in DefaultPolicy]),
    default=DefaultPolicy.BREAK_GLASS_ONLY.value,
    show_default=True,
    help="What holds for new patients until they say something.",
)
@click.option(
    "--timeout", default=60.0, show_default=True, help="Seconds until a node is given up."
)
@click.option("--list-files", is_flag=True, help="Show which file has which number in reports.")
@click.option("--quiet", is_flag=True, help="No progress.")
@passphrase_option
@json_option
def fhir(
    *,
    directory: Path,
    hospitals_file: Path | None,
    journal: Path | None,
    default_policy: str,
    timeout: float,
    list_files: bool,
    quiet: bool,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Import every FHIR R4 bundle (*.json) and every file of lines (*.ndjson) below DIRECTORY.

    Each patient becomes a pseudonym at each hospital, each record is sealed into the vault of its
    hospital and anchored on the chain. Run it again at any time, also after an interruption:
    nothing is imported twice.

    Exit code 0: everything was imported; 1: something was refused, and the report says what.
    """
    try:
        if list_files:
            rows = [(file.label, file.path.relative_to(directory)) for file in files_of(directory)]
            table(("file", "path"), rows)
            return Exit.OK
        if hospitals_file is None:
            raise click.UsageError("Missing option '--hospitals'.")
        consortium = load_consortium(hospitals_file, _opener(passphrase_file))
        options = Options(policy=DefaultPolicy(default_policy), retry=Retry(deadline_s=timeout))
        journal = journal or hospitals_file.with_suffix(".journal")
        with _progress(quiet=quiet) as progress:
            options = replace(options, progress=progress)
            report = asyncio.run(import_fhir(directory, consortium, journal, options))
    except FhirImportError as error:
        raise Ended(Exit.CONFIG, str(error)) from None
    return _show(report, as_json=as_json)


def _show(report: Report, *, as_json: bool) -> Exit:
    if as_json:
        echo_json(report)
    else:
        for line in lines_of(report):
            click.echo(line)
    return Exit.OK if report.complete else Exit.NO


def _opener(passphrase_file: Path | None) -> Callable[[Path], SigningKey]:
    """Opens key files; asks for their passphrase once, and only if one needs it."""
    known: list[bytes] = []

    def open_key(path: Path) -> SigningKey:
        info = read_key_info(path)
        if info.encrypted and not known:
            known.append(passphrase_for_opening(passphrase_file))
        passphrase = known[0] if info.encrypted else None
        # A chain refuses the signatures of keys that it does not know; which file is for play, its
        # owner knows.
        return load_signing_key(path, purpose=info.purpose, passphrase=passphrase, devnet=True)

    return open_key


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    if quiet:
        yield NoProgress()
    elif sys.stderr.isatty():
        with bar() as progress:
            yield progress
    else:
        yield LineProgress(lambda line: click.echo(line, err=True))
