"""devnet demo: the whole story on a running network, told as it happens."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from pathlib import Path
from typing import Final

import click

from devnet.book import Book, Proven
from devnet.commands import show
from devnet.commands.context import Target, engine_option, pass_target
from devnet.commands.running import bring_up, require_same
from devnet.errors import StateError
from devnet.keys import BANNER
from devnet.layout import CHECKOUT, NetworkDir
from devnet.limits import READY_S
from devnet.manifest import DEFAULT_FILE, load_manifest
from devnet.network import Network
from devnet.processes import RunState
from devnet.story import Cast, Story
from medquorum.client import Client
from medquorum.errors import MedQuorumError
from medquorum.genesis import load as load_genesis
from medquorum.quorum import EngineName
from node.fhir.errors import FhirImportError
from node.fhir.progress import LineProgress, Progress, bar

SAMPLE: Final = CHECKOUT / "devnet" / "sample" / "fhir"
_HOSPITALS_MIN: Final = 2
_MSGPACK: Final = "'Content-Type: application/msgpack'"


@click.command
@click.option(
    "--fhir",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=SAMPLE,
    help="Bundles and lines of FHIR R4 to import. [the sample of this checkout: nobody's records]",
)
@click.option(
    "--base-port",
    type=click.IntRange(0, 65_000),
    help="Of a network that must be made first. 0 takes free ports. [29650]",
)
@engine_option
@pass_target
def demo(target: Target, directory: Path, base_port: int | None, engine: EngineName | None) -> int:
    """Four hospitals, real records, one ledger: import, consent, access, revocation, refusal, and a
    receipt for every step, verified without any node.

    Starts the network if it does not run, and leaves it running. Exit code 1 if a record was
    refused by the import; another one if a step or a verification failed.
    """
    began = time.monotonic()
    network = _running_network(target, base_port, engine)
    click.secho(BANNER, fg="yellow", err=True)
    book = Book(network.directory.demo)
    try:
        complete, cast = asyncio.run(_told(network, directory, book))
        proven = _verified(network, book)
    except (MedQuorumError, FhirImportError) as error:
        raise StateError(f"the demonstration failed: {error}") from None
    finally:
        if book.steps:
            book.close()
    _epilogue(network, book, cast, proven)
    click.echo(f"\ndone in {time.monotonic() - began:.1f} s; the network goes on running")
    return 0 if complete else 1


def _running_network(target: Target, base_port: int | None, engine: EngineName | None) -> Network:
    """The network, made if there is none, with all its nodes ready."""
    manifest = load_manifest(DEFAULT_FILE, name=target.name, base_port=base_port, engine=engine)
    directory: NetworkDir = target.directory(manifest.name)
    with directory.locked():
        if not directory.net_file.exists():
            click.echo("starting four hospitals ...")
            network = bring_up(directory, manifest, timeout_s=READY_S)
        else:
            network = Network.open(directory)
            require_same(network, engine, None, base_port)
            paused = [n.name for n in network.nodes if network.state(n) is RunState.PAUSED]
            if paused:
                raise StateError(f"{', '.join(paused)} paused: `devnet resume` first")
            network.start(network.nodes)
            network.wait_ready(network.nodes)
    if sum(node.vault for node in network.nodes) < _HOSPITALS_MIN:
        raise StateError("the story needs two hospitals with a vault")
    return network


async def _told(network: Network, directory: Path, book: Book) -> tuple[bool, Cast]:
    """Tell it. Whether the import was complete, and who played."""
    book.open()
    async with AsyncExitStack() as stack:
        clients = {
            node.org: await stack.enter_async_context(Client(node.url, genesis=network.genesis))
            for node in reversed(network.nodes)
        }
        story = Story(network, clients, book)
        book.say("\nWho is who")
        await story.enrol()
        book.say(
            "\nThe hospitals bring in their records: sealed in their vaults, anchored on chain"
        )
        with _progress() as progress:
            report = await story.import_records(directory, progress)
        cast = await story.choose()
        book.say(
            f"\nA patient of {cast.hospitals} hospitals, with {cast.records} records at "
            f"{cast.a.org}; {cast.b.org} treats the patient now"
        )
        patient = await story.give_key(cast)
        grant_id = await story.consent(cast, patient)
        await story.read(cast, await story.ask(cast, "request", grant_id))
        book.say("\nThe patient changes their mind")
        await story.revoke(cast, patient, grant_id)
        await story.be_refused(cast, await story.ask(cast, "request-again"))
    return report.complete, cast


def _progress() -> AbstractContextManager[Progress]:
    """A bar on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        return bar()
    return nullcontext(LineProgress(lambda line: click.echo(line, err=True)))


def _verified(network: Network, book: Book) -> list[Proven]:
    """Verify all receipts from files alone: the nodes are not asked."""
    genesis_file = network.directory.node(0).genesis_file
    book.say("\nEvery receipt, verified offline: no node is asked")
    proven = book.verify(load_genesis(genesis_file.read_bytes()))
    for one in proven:
        operations = sorted({operation.type for operation in one.receipt.operations})
        book.say(
            f"    {one.file.name:<32}height {one.receipt.height:<6}"
            f"{len(one.receipt.certified_by)} of {len(network.validators)} validators   "
            f"{', '.join(operations)}"
        )
    return proven


def _medquorum() -> str:
    """How to call the command from here."""
    installed = Path(sys.executable).with_name("medquorum")
    if installed.exists():
        return shlex.quote(show.short(installed))
    return f"{shlex.quote(show.short(Path(sys.executable)))} -m node.cli.main"


def _epilogue(network: Network, book: Book, cast: Cast, proven: list[Proven]) -> None:
    """Where everything is, and what to type next."""
    click.echo(f"\n{len(proven)} receipts hold, in {show.short(book.receipts)}\n")
    show.endpoints(network)
    genesis = show.short(network.directory.node(0).genesis_file)
    consent = next(step for step in book.steps if step.name == "consent")
    file = show.short(book.receipts / consent.receipt)
    sent = show.short(book.transactions / consent.receipt.replace(".json", ".msgpack"))
    url = cast.a.url
    click.echo("\nThe same by hand:")
    for what, command in (
        (
            "check the consent's receipt; this needs no network",
            f"{_medquorum()} verify-receipt {file} --genesis {genesis}",
        ),
        (
            "send the consent once more: the answer is the original one",
            f"curl -s -H {_MSGPACK} --data-binary @{sent} '{url}/v1/txs?wait=committed'",
        ),
        ("fetch a receipt", f"curl -s {url}/v1/txs/{consent.txid}/receipt"),
        (
            "who asked to see the patient's records, and what came of it",
            f"curl -s '{url}/v1/query/rec.who_accessed?pid={cast.pid.hex()}'",
        ),
        (
            "the patient's consents that have ended",
            f"curl -s '{url}/v1/query/rec.grants?pid={cast.pid.hex()}&ended=true'",
        ),
    ):
        click.echo(f"  # {what}\n  {command}")
    show.suggestions(network)
