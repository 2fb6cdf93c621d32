"""Each ready-made gate, as this repository configures it, fails on a seeded fault.

A gate that has never been seen to fail may be looking elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "pyproject.toml"
FUTURE = "from __future__ import annotations\n\n"
HEAD = f'"""A module."""\n\n{FUTURE}'


def run(tool: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the environment that runs this test. It reads no settings but those named."""
    command = [Path(sys.executable).parent / tool, *arguments]
    # A pytest inside a pytest would otherwise take the outer one's worker for its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["NO_COLOR"] = "1"
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


LINT_FAULTS = {
    "ARG001": HEAD + "def f(unused: int) -> int:\n    return 1\n",
    "ASYNC251": HEAD + "import time\n\n\nasync def f() -> None:\n    time.sleep(1)\n",
    "B006": HEAD + "def f(a: list[int] = []) -> list[int]:\n    return a\n",
    "D100": FUTURE + "x = 1\n",
    "DTZ005": HEAD + "import datetime\n\nnow = datetime.datetime.now()\n",
    "E501": HEAD + f"# {'long ' * 20}\n",
    "ERA001": HEAD + "# x = f(1)\n",
    "F401": HEAD + "import json\n",
    "FIX002": HEAD + "# TO" + "DO: finish\n",
    "I002": '"""A module."""\n\nx = 1\n',
    "N801": HEAD + "class lower:\n    x = 1\n",
    "PTH123": HEAD + 'with open("x") as file:\n    text = file.read()\n',
    "S101": HEAD + "assert True\n",
    "S301": HEAD + 'import pickle\n\nvalue = pickle.loads(b"")\n',
    "T201": HEAD + 'print("x")\n',
    "TID252": HEAD + "from . import x\n",
}
BANNED = ("time.time", "asyncio.create_task", "asyncio.ensure_future", "random.random")


@pytest.mark.parametrize("code", LINT_FAULTS)
def test_ruff_refuses_a_fault_of_each_kind(code: str, tmp_path: Path) -> None:
    (tmp_path / "fault.py").write_text(LINT_FAULTS[code])
    result = run("ruff", "check", "--config", CONFIG, "--no-cache", "fault.py", cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    assert re.search(rf"\b{code}\b", result.stdout), result.stdout


@pytest.mark.parametrize("name", BANNED)
def test_ruff_refuses_banned_names(name: str, tmp_path: Path) -> None:
    module = name.partition(".")[0]
    (tmp_path / "fault.py").write_text(f"{HEAD}import {module}\n\nf = {name}\n")
    result = run("ruff", "check", "--config", CONFIG, "--no-cache", "fault.py", cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    assert "TID251" in result.stdout


def test_ruff_refuses_unformatted_code(tmp_path: Path) -> None:
    (tmp_path / "fault.py").write_text(HEAD + "x = {1:2}\n")
    result = run("ruff", "format", "--check", "--config", CONFIG, "--no-cache", ".", cwd=tmp_path)
    assert result.returncode == 1


TYPE_FAULTS = {
    "no-untyped-def": "def f(a):\n    return a\n",
    "type-arg": "def f(a: list) -> int:\n    return len(a)\n",
    "arg-type": "def f(a: int) -> int:\n    return a\n\n\nf('x')\n",
    "unreachable": "def f() -> int:\n    return 1\n    g = 2\n",
    "exhaustive-match": (
        "def f(a: int | str) -> None:\n    match a:\n        case int():\n            pass\n"
    ),
    "explicit-override": (
        "class A:\n    def f(self) -> None: ...\n\n\nclass B(A):\n    def f(self) -> None: ...\n"
    ),
    "truthy-bool": ("class A:\n    x = 1\n\n\ndef f(a: A) -> int:\n    return 1 if a else 2\n"),
    "redundant-expr": "def f(a: int) -> bool:\n    return isinstance(a, int) and a > 0\n",
    "ignore-without-code": "x: int = 'x'  # type: ignore\n",
    "unused-ignore": "x: int = 1  # type: ignore[assignment]\n",
}


def test_mypy_refuses_a_fault_of_each_kind(tmp_path: Path) -> None:
    names = {code: f"fault_{code.replace('-', '_')}.py" for code in TYPE_FAULTS}
    for code, name in names.items():
        (tmp_path / name).write_text(HEAD + TYPE_FAULTS[code])
    (tmp_path / "clean.py").write_text(HEAD + "def f(a: int) -> int:\n    return a\n")
    result = run(
        "mypy", "--config-file", CONFIG, "--cache-dir", tmp_path / "cache",
        "--show-error-codes", "clean.py", *names.values(), cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    for code, name in names.items():
        assert re.search(rf"^{name}:\d+: error: .*\[{code}\]$", result.stdout, re.MULTILINE), code
    assert "clean.py" not in result.stdout


IMPURE = (
    "asyncio", "threading", "socket", "ssl", "os", "time", "datetime", "random", "secrets", "uuid",
    "logging", "aiohttp", "plyvel", "click",
)  # fmt: skip
IMPORT_FAULTS = {
    "medquorum/looks_up.py": "import consensus\n",
    "consensus/looks_aside.py": "import storage\n",
    "storage/looks_aside.py": "import p2p\n",
    "p2p/looks_aside.py": "import consensus\n",
    "storage/looks_up.py": "import node\n",
    "node/looks_up.py": "import devnet\n",
    "consensus/impure.py": "".join(f"import {name}\n" for name in IMPURE),
    "node/ledger/impure.py": "".join(f"import {name}\n" for name in IMPURE),
    "storage/knows_plyvel.py": "import plyvel\n",
    "storage/knows_lmdb.py": "import lmdb\n",
    "node/ledger/types/one/__init__.py": "import node.ledger.types.two\n",
    "node/daemon.py": "import node.repair\n",
    "devnet/sim/one.py": "import devnet.sim.two\n",
    "devnet/sim/two.py": "import devnet.sim.one\n",
}
IMPORTS_REFUSED = {
    "medquorum.looks_up -> consensus",
    "consensus.looks_aside -> storage",
    "storage.looks_aside -> p2p",
    "p2p.looks_aside -> consensus",
    "storage.looks_up -> node",
    "node.looks_up -> devnet",
    "storage.knows_plyvel -> plyvel",
    "storage.knows_lmdb -> lmdb",
    "node.daemon -> node.repair",
    "node.ledger.types.one -> node.ledger.types.two",
    *(f"{room}.impure -> {name}" for room in ("consensus", "node.ledger") for name in IMPURE),
}


def test_import_linter_refuses_each_forbidden_import(tmp_path: Path) -> None:
    shutil.copy(CONFIG, tmp_path)
    packages = [
        "medquorum", "consensus", "storage", "p2p", "node", "node/ledger", "node/ledger/types",
        "node/ledger/types/one", "node/ledger/types/two", "node/repair", "devnet",
        "devnet/sim",
    ]  # fmt: skip
    for package in packages:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "storage/leveldb.py").write_text("import plyvel\n")
    (tmp_path / "storage/lmdb.py").write_text("import lmdb\n")
    (tmp_path / "node/app.py").write_text("import storage.leveldb\n")
    for part in ("daemon", "run"):
        (tmp_path / f"node/{part}.py").touch()
    clean = run("lint-imports", "--no-cache", "--no-logo", cwd=tmp_path)
    assert clean.returncode == 0, clean.stdout + clean.stderr

    for path, text in IMPORT_FAULTS.items():
        (tmp_path / path).write_text(text)
    faulty = run("lint-imports", "--no-cache", "--no-logo", cwd=tmp_path)
    assert faulty.returncode == 1, faulty.stderr
    assert "0 kept" in faulty.stdout
    refused = re.findall(r"^ *-? *([\w.]+ -> [\w.]+) \(l\.\d+\)$", faulty.stdout, re.MULTILINE)
    assert set(refused) >= IMPORTS_REFUSED, IMPORTS_REFUSED - set(refused)


def test_shellcheck_refuses_an_unquoted_variable(tmp_path: Path) -> None:
    (tmp_path / "fault").write_text('#!/usr/bin/env bash\nrm -r "$HOME"/$1\n')
    result = run("shellcheck", "fault", cwd=tmp_path)
    assert result.returncode == 1
    assert "SC2086" in result.stdout


PYTEST_FAULTS = {
    "test_hangs": "def test_hangs() -> None:\n    while True: pass\n",
    "test_warns": "import warnings\ndef test_warns() -> None:\n    warnings.warn('x')\n",
    "test_forgets_to_await": (
        "import gc\nasync def f() -> None: ...\n"
        "def test_forgets_to_await() -> None:\n    f()\n    gc.collect()\n"
    ),
    "test_passes_unexpectedly": (
        "import pytest\n@pytest.mark.xfail\ndef test_passes_unexpectedly() -> None: ...\n"
    ),
}


def test_pytest_refuses_hangs_warnings_and_unexpected_passes(tmp_path: Path) -> None:
    for name, text in PYTEST_FAULTS.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "test_clean.py").write_text("async def test_clean() -> None: ...\n")
    # The clock of this test belongs to the tool under test: it is what must stop the hang.
    result = run(
        "pytest", "-c", CONFIG, "--rootdir", tmp_path, "-p", "no:cacheprovider",
        "-o", "timeout=1", "-o", "timeout_func_only=true", ".", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1, result.stdout + result.stderr
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S*::(\w+)", result.stdout, re.MULTILINE))
    assert failed == set(PYTEST_FAULTS), result.stdout
    assert re.search(r"^=+ 4 failed, 1 passed in", result.stdout, re.MULTILINE), result.stdout


def test_pytest_refuses_an_unknown_marker(tmp_path: Path) -> None:
    (tmp_path / "test_fault.py").write_text(
        "import pytest\n@pytest.mark.e2ee\ndef test_x() -> None: ...\n"
    )
    result = run("pytest", "-c", CONFIG, "--rootdir", tmp_path, ".", cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert "'e2ee' not found in `markers`" in result.stdout


def test_connections_that_leave_the_machine_are_refused() -> None:
    # 192.0.2.0/24 is reserved for documentation (RFC 5737): nobody is there.
    with socket.socket() as connection:
        with pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
            connection.connect(("192.0.2.1", 443))
        with pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
            connection.connect_ex(("192.0.2.1", 443))


def test_connections_to_this_machine_are_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as connection:
        connection.connect(server.getsockname())
        assert connection.getpeername() == server.getsockname()


@pytest.mark.usefixtures("no_blocking")
async def test_a_call_that_blocks_the_loop_is_refused() -> None:
    with pytest.raises(BlockingError, match=re.escape("time.sleep")):
        time.sleep(0.001)  # noqa: ASYNC251  # the fault that must be caught
    await asyncio.sleep(0)


async def test_blocking_is_refused_only_where_a_test_asks_for_it() -> None:
    time.sleep(0.001)  # noqa: ASYNC251  # nobody asked
    await asyncio.sleep(0)
