"""`medquorum import fhir` as a process: exit codes, the report, and a death in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from medquorum import genesis as genesis_file
from medquorum.keyfile import save_devnet_key
from node.fhir.hospitals import Consortium
from tests.support.fhir import SAMPLE, hospitals, write

ROOT = Path(__file__).resolve().parents[3]


def described(folder: Path, consortium: Consortium) -> Path:
    """The file that describes the hospitals, with their keys beside it."""
    (folder / "genesis.json").write_bytes(genesis_file.dump(consortium.genesis))
    text = 'genesis = "genesis.json"\n'
    for hospital in consortium.hospitals:
        save_devnet_key(folder / f"{hospital.name}.json", hospital.key, purpose="actor")
        registrar = f"{hospital.name}-registrar.json"
        save_devnet_key(folder / registrar, hospital.registrar, purpose="actor")
        text += (
            f'[[hospital]]\nname = "{hospital.name}"\norg = "{hospital.org.hex()}"\n'
            f'rpc = "{hospital.rpc}"\nkey = "{hospital.name}.json"\n'
            f'registrar_key = "{registrar}"\n'
        )
    (folder / "hospitals.toml").write_text(text)
    return folder / "hospitals.toml"


async def command(*arguments: str | Path) -> asyncio.subprocess.Process:
    """Start the command."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "node.cli.main", "import", "fhir"),
        *(str(argument) for argument in arguments),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'sdk' / 'python'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ran(*arguments: str | Path) -> tuple[int, str, str]:
    """Run it to its end: exit code, output, errors."""
    process = await command(*arguments)
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def test_the_command_imports_and_says_what_it_did(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        file = described(tmp_path, consortium)
        code, output, errors = await ran(SAMPLE, "--hospitals", file)
        assert (code, len(server.anchors())) == (0, 806)
        assert "806 records" in output
        assert "importing" in errors
        code, output, errors = await ran(SAMPLE, "--hospitals", file, "--json", "--quiet")
    report = json.loads(output)
    assert (code, errors, report["records"]) == (0, "", 0)
    assert sum(report["unchanged"].values()) == 806


async def test_a_refusal_is_reported_and_the_exit_code_says_so(tmp_path: Path) -> None:
    files = write(tmp_path / "in", a_ndjson='{"resourceType": "Patient", "id": "p"}\nnot json\n')
    async with hospitals() as (_server, consortium):
        file = described(tmp_path, consortium)
        code, output, _ = await ran(files, "--hospitals", file)
    assert code == 1
    assert "position 2, byte 39: not_json" in output


async def test_files_have_names_only_where_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, Aaron_json="x")
    code, output, _ = await ran(tmp_path, "--list-files")
    assert code == 0
    assert "Aaron.json" in output


async def test_what_cannot_work_ends_with_one_line_and_its_code(tmp_path: Path) -> None:
    async with hospitals() as (_server, consortium):
        file = described(tmp_path, consortium)
        empty = tmp_path / "empty"
        empty.mkdir()
        for arguments, expected in (
            ((empty, "--hospitals", file), 78),
            ((SAMPLE,), 64),
            ((SAMPLE, "--hospitals", tmp_path / "genesis.json"), 78),
        ):
            code, _, errors = await ran(*arguments)
            assert code == expected
            assert "Traceback" not in errors
    code, _, errors = await ran(SAMPLE, "--hospitals", file, "--timeout", "0.2", "--quiet")
    assert code == 75
    assert len(errors.splitlines()) == 1


async def test_killed_in_the_middle_and_run_again_the_set_is_the_same(tmp_path: Path) -> None:
    async with hospitals() as (server, consortium):
        file = described(tmp_path, consortium)
        for requests in (150, 400, 600, 900):
            process = await command(SAMPLE, "--hospitals", file, "--quiet")
            await server.request_number(requests)
            server.reached.clear()
            process.send_signal(signal.SIGKILL)
            _, errors = await process.communicate()
            assert process.returncode == -signal.SIGKILL, errors
        code, _, _ = await ran(SAMPLE, "--hospitals", file, "--quiet")
        anchors = server.anchors()
        texts = Counter(server.opened(anchor) for anchor in anchors)
    assert code == 0
    assert (len(anchors), len({anchor.rec_id for anchor in anchors})) == (806, 806)
    assert max(texts.values()) == 1
