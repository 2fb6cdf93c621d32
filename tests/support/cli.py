"""The command line for tests: in this process what computes, as real processes what runs."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from medquorum.quorum import EngineName
from node.cli.main import cli
from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "node.cli.main"]
DEADLINE_S = 60.0
PASSPHRASE = b"correct horse"


def run(*args: object, stdin: str | None = None) -> Result:
    """A command in this process. The environment of the tests does not reach it."""
    clean = {name: None for name in os.environ if name.startswith(("MEDQUORUM_", "CREDENTIALS_"))}
    return CliRunner(env=clean).invoke(cli, [str(arg) for arg in args], input=stdin)


def ok(*args: object) -> str:
    """The output of a command that must succeed."""
    result = run(*args)
    assert result.exit_code == 0, (args, result.output, result.exception)
    return result.stdout


def process(
    *args: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own, to its end."""
    return subprocess.run(
        [*COMMAND, *(str(arg) for arg in args)],
        cwd=ROOT,
        env=_environment(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    python_path = os.pathsep.join([str(ROOT), str(ROOT / "sdk" / "python")])
    return {**kept, "PYTHONPATH": python_path, **(extra or {})}


def passphrase_file(folder: Path, passphrase: bytes = PASSPHRASE) -> Path:
    """A file that holds a passphrase, for its owner alone."""
    path = folder / f"passphrase-{passphrase.hex()[:16]}"
    path.touch(mode=0o600)
    path.write_bytes(passphrase + b"\n")
    return path


@dataclass(frozen=True, slots=True)
class Consortium:
    """Files of one hospital that founds a chain alone."""

    home: Path
    genesis: Path
    member: Path
    root_key: Path
    rpc: str

    @property
    def org(self) -> str:
        """The id of the hospital."""
        described = json.loads(self.member.read_bytes())
        org: str = described["organisation"]["org"]
        return org


def found_alone(
    folder: Path, *settings: str, chain_name: str = "devnet-alone", engine: EngineName = "pbft"
) -> Consortium:
    """A home, ready to start, made with the commands that an operator uses."""
    made = Consortium(
        folder / "home", folder / "genesis.json", folder / "member.json", folder / "root.json", ""
    )
    rpc, ops = free_ports(2)
    ports = ("p2p.port=0", f"rpc.port={rpc}", f"ops.port={ops}")
    chosen = [part for setting in (*ports, *settings) for part in ("--set", setting)]
    ok("init", "--home", made.home, "--plain-devnet", *chosen)
    ok("keys", "gen", made.root_key, "--purpose", "organisation", "--plain-devnet")
    describe(made.home, made.root_key, made.member)
    terms = ("--chain-name", chain_name, "--engine", engine)
    ok("genesis", "new", made.member, *terms, "-o", made.genesis)
    ok("genesis", "install", made.genesis, "--home", made.home)
    return Consortium(
        made.home, made.genesis, made.member, made.root_key, f"http://127.0.0.1:{rpc}"
    )


def describe(home: Path, root_key: Path, output: Path, address: str = "127.0.0.1:29650") -> None:
    """The description of the hospital in `home`."""
    opening = output.with_suffix(".opening")
    names = ("--legal-name", f"Hospital {output.stem}", "--jurisdiction", "xx")
    reach = ("--address", address, "--opening", opening, "-o", output)
    ok("member", "describe", "--home", home, "--root-key", root_key, *names, *reach)


@dataclass(slots=True)
class Daemon:
    """A running `medquorum start`."""

    child: subprocess.Popen[bytes]
    log: bytes = b""

    def read_until(self, event: str) -> None:
        """Read its log until `event` stands there. Fails if it ends before that."""
        stdout = self.child.stdout
        assert stdout is not None
        end = time.monotonic() + DEADLINE_S
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while event.encode() not in self.log:
                ready = selector.select(max(0.0, end - time.monotonic()))
                assert ready, f"no {event} within {DEADLINE_S} s: {self.log.decode()}"
                chunk = os.read(stdout.fileno(), 65_536)
                assert chunk, f"ended before {event}: {self.log.decode()}"
                self.log += chunk

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout=DEADLINE_S)


@contextmanager
def started(
    home: Path, *flags: object, environment: Mapping[str, str] | None = None
) -> Iterator[Daemon]:
    """A daemon that is ready. It does not outlive the test."""
    args = ["start", "--home", str(home), "--base.log_format", "json", *(str(f) for f in flags)]
    child = subprocess.Popen(
        [*COMMAND, *args],
        cwd=ROOT,
        env=_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    daemon = Daemon(child)
    try:
        daemon.read_until('"event": "ready"')
        yield daemon
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=DEADLINE_S)
