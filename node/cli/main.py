"""The root command, and how every ending becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any, Final, NoReturn

import click
from typing_extensions import override

from node.cli.exits import Ended, Exit, ending_of, message_of
from node.cli.lazy import Lazy, LazyGroup
from node.version import VERSION

COMMANDS: Final[dict[str, Lazy]] = {
    "init": Lazy("node.cli.init", "init", "Create a node's home directory and its keys."),
    "start": Lazy("node.cli.start", "start", "Run the node in the foreground."),
    "status": Lazy("node.cli.status", "status", "Show how a node is doing."),
    "node": Lazy("node.cli.node", "node", "Ask something of a running node, as its operator."),
    "halt": Lazy("node.cli.halt", "halt", "Look at the halt of a stopped node, and end it."),
    "recovery": Lazy("node.cli.recovery", "recovery", "Go on after too many validators were lost."),
    "snapshot": Lazy("node.cli.snapshot", "snapshot", "Make and verify snapshots of the ledger."),
    "backup": Lazy("node.cli.backup", "backup", "Back the chain of a running node up."),
    "restore": Lazy("node.cli.restore", "restore", "Give a node its chain from a backup."),
    "restore-drill": Lazy(
        "node.cli.restore", "restore_drill", "Prove that a backup can be restored."
    ),
    "vault": Lazy("node.cli.vault", "vault", "Keep a copy of the vault's records."),
    "verify": Lazy("node.cli.verify", "verify", "Check all data of a stopped node."),
    "rollback": Lazy("node.cli.rollback", "rollback", "Take the last heights of a node back."),
    "reindex": Lazy("node.cli.reindex", "reindex", "Build a stopped node's indexes again."),
    "replay": Lazy("node.cli.replay", "replay", "Execute a stopped node's blocks again."),
    "migrate": Lazy("node.cli.migrate", "migrate", "Bring a stopped node's database forward."),
    "compact": Lazy("node.cli.compact", "compact", "Give the room of what was deleted back."),
    "prune": Lazy("node.cli.prune", "prune_command", "Give a stopped node's old blocks up."),
    "archive": Lazy("node.cli.archive", "archive", "Put old blocks into files, and back."),
    "diff": Lazy("node.cli.diff", "diff", "Find where two nodes part."),
    "inspect": Lazy("node.cli.inspect", "inspect", "Read a stopped node's data by its API."),
    "debug": Lazy("node.cli.debug", "debug", "Gather what others need to help with a node."),
    "config": Lazy("node.cli.config", "config", "Look at the configuration of a node."),
    "keys": Lazy("node.cli.keys", "keys", "Make and look after key files."),
    "genesis": Lazy("node.cli.genesis", "genesis", "Found a chain and check its genesis."),
    "member": Lazy("node.cli.member", "member", "Publish what the others need to know of us."),
    "gov": Lazy("node.cli.gov", "gov", "Write and read proposals; look before validators change."),
    "tx": Lazy("node.cli.tx", "tx", "Build, sign, submit and follow transactions."),
    "query": Lazy("node.cli.query", "query", "Ask a named query of the ledger."),
    "state": Lazy("node.cli.query", "state", "Read the ledger state with proof."),
    "schema": Lazy("node.cli.query", "schema", "Show how operations are built."),
    "events": Lazy("node.cli.events", "events", "Print what happened, and follow what happens."),
    "receipt": Lazy("node.cli.receipt", "receipt", "Fetch the proof of a transaction."),
    "verify-receipt": Lazy(
        "node.cli.receipt", "verify_receipt_command", "Check a proof without any node."
    ),
    "evidence": Lazy(
        "node.cli.evidence", "evidence", "Show proof of misbehaviour, and act upon it."
    ),
    "import": Lazy("node.cli.import_", "import_", "Bring records in from other systems."),
    "completion": Lazy("node.cli.completion", "completion", "Complete this command in a shell."),
    "version": Lazy("node.cli.version", "version", "Show the version."),
}


class Root(LazyGroup):
    """The root. Whatever a command raises, the process ends with one line and an exit code."""

    @override
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # as click declares it
    ) -> Any:  # as click declares it
        if os.environ.get("NO_COLOR"):
            extra["color"] = False

        def run() -> object:
            return super(Root, self).main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )

        return ended(run) if standalone_mode else run()

    @override
    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # as click declares it
    ) -> click.Context:
        with _reader():
            return super().make_context(info_name, args, parent, **extra)

    @override
    def invoke(self, ctx: click.Context) -> Any:  # as click declares it
        with _reader():
            return super().invoke(ctx)


class _ReaderGone(Exception):  # noqa: N818 - no error: `medquorum ... | head`
    """Whoever read our output has had enough."""


@contextmanager
def _reader() -> Iterator[None]:
    """Keeps a broken pipe from click, which would end the process with 1, our code for "no"."""
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGone from None


class _Told(BaseException):
    """The process was told to end. What a command has open is closed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Has SIGTERM and SIGHUP unwind a command, as SIGINT does: otherwise its scratch directories,
    copies of the ledger among them, would stay for good. A second one ends the process at once, and
    one that is ignored (nohup) is ignored further on.
    """

    def tell(number: int, _frame: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise _Told(number)

    asked = (signal.SIGTERM, signal.SIGHUP) if current_thread() is main_thread() else ()
    numbers = [number for number in asked if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, tell)
    try:
        yield
    except _Told as told:
        # Whoever waits for the process is to see how it ended.
        os.kill(os.getpid(), told.number)
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def ended(run: Callable[[], object]) -> NoReturn:
    """Run a command and end the process as it ended."""
    try:
        with _told_to_end():
            result = run()
        with _reader():
            sys.stdout.flush()
    except Ended as error:
        error.show()
        sys.exit(error.code)
    except click.ClickException as error:
        # Whatever click itself finds wrong is wrong with the command line.
        error.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted.", err=True)
        sys.exit(Exit.INTERRUPTED)
    except _ReaderGone:
        # Python flushes once more at its end, and must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except Exception as error:
        code = ending_of(error)
        if code is None:
            traceback.print_exception(error)
            click.echo("This is a bug in medquorum. Please report the lines above.", err=True)
            sys.exit(Exit.INTERNAL)
        click.echo(f"Error: {message_of(error)}", err=True)
        sys.exit(code)
    sys.exit(result if isinstance(result, int) else Exit.OK)


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(VERSION)
        context.exit()


cli: Final = Root(
    "medquorum",
    lazy=COMMANDS,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        )
    ],
    help="MedQuorum: a consortium blockchain node for hospitals, and tools for its users.",
)


def main() -> None:
    """The entry point."""
    cli(prog_name="medquorum")


if __name__ == "__main__":
    main()
