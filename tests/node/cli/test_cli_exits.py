"""Every ending has its exit code."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from medquorum import errors as sdk
from node import daemon
from node import errors as ours
from node.cli import exits
from node.cli.exits import Ended, Exit, ending_of
from node.cli.main import ended
from node.ops.diskguard import DiskLowError
from storage import errors as storage

DECIDED = [
    (sdk.UnreachableError("away"), Exit.TEMPORARY),
    (sdk.WaitTimeoutError(b"\x01" * 32), Exit.TEMPORARY),
    (sdk.ProblemError(status=409, code="wrong_chain", detail="", retryable=False), Exit.NO),
    (sdk.ProblemError(status=503, code="busy", detail="", retryable=True), Exit.TEMPORARY),
    (sdk.AnswerError("what?"), Exit.CONFIG),
    (sdk.VerificationError("tx_path", "no"), Exit.CORRUPT),
    (sdk.MalformedError("no"), Exit.CORRUPT),
    (sdk.KeyFormatError("no"), Exit.CONFIG),
    (ours.ConfigError("no"), Exit.CONFIG),
    (ours.IdentityError("no"), Exit.CONFIG),
    (storage.DamagedStoreError("x", "no"), Exit.CORRUPT),
    (storage.DataDirLockedError(Path("x"), 1), Exit.TEMPORARY),
    (storage.SignStateMismatchError("x", "key"), Exit.CONFIG),
    (storage.FormatError("x", 2, 1), Exit.CONFIG),
    (storage.DiskFullError("x", "write", "full"), Exit.DISK),
    (storage.DiskFailedError("x", "fsync", "failed"), Exit.TEMPORARY),
    (OSError(errno.ENOSPC, "full"), Exit.DISK),
    (OSError(errno.EADDRINUSE, "in use"), Exit.TEMPORARY),
    (PermissionError(errno.EACCES, "no", "/x"), Exit.CONFIG),
    (ValueError("a bug"), None),
]


@pytest.mark.parametrize(("error", "code"), DECIDED, ids=lambda value: type(value).__name__)
def test_every_error_has_the_code_that_tells_a_supervisor_what_to_do(
    error: Exception, code: Exit | None
) -> None:
    assert ending_of(error) is code


def test_no_name_in_the_table_is_out_of_date() -> None:
    known = {
        name for module in (sdk, ours, storage) for name in vars(module) if name.endswith("Error")
    } | {DiskLowError.__name__}
    assert set(exits._BY_CLASS) <= known


def test_a_class_of_another_library_with_the_same_name_is_a_bug() -> None:
    other = type("ConfigError", (Exception,), {"__module__": "elsewhere"})
    assert ending_of(other()) is None


def test_the_daemon_ends_with_the_same_codes() -> None:
    assert {code.name: int(code) for code in daemon.Exit}.items() <= {
        code.name: int(code) for code in Exit
    }.items()


def raising(error: BaseException) -> Callable[[], object]:
    """A command that fails."""

    def command() -> object:
        raise error

    return command


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (lambda: None, 0),
        (lambda: Exit.NO, 1),
        (raising(Ended(Exit.DISK, "full")), 73),
        (raising(click.UsageError("what?")), 64),
        (raising(click.FileError("x")), 64),
        (raising(KeyboardInterrupt()), 130),
        (raising(click.Abort()), 130),
        (raising(ours.ConfigError("no")), 78),
        (raising(ZeroDivisionError()), 70),
    ],
)
def test_a_command_ends_the_process_with_its_code(
    command: Callable[[], object], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        ended(command)
    assert ending.value.code == code
    printed = capsys.readouterr()
    assert printed.out == ""
    # Only a bug is worth a traceback.
    assert ("Traceback" in printed.err) == (code == 70)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(FileNotFoundError) as raised:
        missing.read_bytes()
    assert exits.message_of(raised.value) == f"{missing}: No such file or directory"
