"""What a node holds against validators can be asked for, page by page, and convicts elsewhere."""

from __future__ import annotations

from pathlib import Path

from aiohttp import ClientSession

from medquorum.encoding import from_base64url
from medquorum.evidence import (
    Evidence,
    EvidenceKind,
    decode_evidence,
    verify_evidence,
)
from medquorum.evidence_file import verify_evidence_file
from tests.support.daemon import VALIDATOR, LocalNode, local_node
from tests.support.evidence import evidence_against


def accuse(node: LocalNode, height: int, kind: EvidenceKind) -> Evidence:
    """Evidence against the only validator, in the node's book."""
    chain_id = node.chain.chain_id
    evidence = evidence_against(VALIDATOR, chain_id, height, kind=kind)
    node.evidence.add(verify_evidence(evidence, chain_id, "pbft"), evidence)
    return evidence


async def page(api: ClientSession, query: str = "") -> tuple[int, list[str], str]:
    async with api.get(f"/v1/evidence{query}") as answer:
        assert answer.status == 200, await answer.text()
        shown = await answer.json()
        return shown["total"], [piece["id"] for piece in shown["evidence"]], shown["next"]


async def test_evidence_is_listed_by_height_page_by_page(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        assert await page(api) == (0, [], "")
        late = accuse(node, 2, EvidenceKind.AMNESIA)
        first = accuse(node, 1, EvidenceKind.AMNESIA)
        second = accuse(node, 1, EvidenceKind.TWO_RESULTS)
        ids = [piece.id().hex() for piece in (first, second, late)]
        assert await page(api) == (3, ids, "")
        assert await page(api, "?limit=2") == (3, ids[:2], ids[1])
        assert await page(api, f"?limit=2&after={ids[1]}") == (3, ids[2:], "")
        assert await page(api, f"?validator={VALIDATOR.public.hex()}") == (3, ids, "")
        assert await page(api, "?validator=01") == (3, [], "")
        async with api.get("/v1/status") as answer:
            assert (await answer.json())["evidence"] == 3


async def test_one_piece_shows_both_statements_and_carries_itself(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        evidence = accuse(node, 1, EvidenceKind.AMNESIA)
        async with api.get(f"/v1/evidence/{evidence.id().hex()}") as answer:
            shown = await answer.json()
    assert (shown["kind"], shown["height"], shown["votes_today"]) == ("amnesia", 1, True)
    assert shown["validator"] == VALIDATOR.public.hex()
    assert {shown["first"]["tag"], shown["second"]["tag"]} == {"C", "R"}
    assert decode_evidence(from_base64url(shown["raw"])) == evidence


async def test_a_file_convicts_without_the_node(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        await node.commit()
        for height in (1, 2):
            evidence = accuse(node, height, EvidenceKind.EQUIVOCATION)
            async with api.get(f"/v1/evidence/{evidence.id().hex()}/file") as answer:
                assert answer.headers["Content-Disposition"].endswith('.evidence.json"')
                data = await answer.read()
            proven = verify_evidence_file(data, node.genesis)
            assert (proven.id, proven.accusation.height) == (evidence.id(), height)


async def test_what_is_not_held_is_not_found_and_what_is_no_id_is_refused(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        for path, status, code in (
            (f"/{'ab' * 32}", 404, "not_found"),
            (f"/{'ab' * 32}/file", 404, "not_found"),
            (f"?after={'ab' * 32}", 404, "not_found"),
            ("/xyz", 422, "schema_violation"),
            ("?after=xyz", 422, "schema_violation"),
            ("?validator=xyz", 422, "schema_violation"),
            ("?limit=0", 422, "schema_violation"),
        ):
            async with api.get(f"/v1/evidence{path}") as answer:
                assert (answer.status, (await answer.json())["code"]) == (status, code), path


async def test_a_node_that_lacks_the_block_below_says_so(tmp_path: Path) -> None:
    async with local_node(tmp_path) as node, node.api() as api:
        evidence = accuse(node, 5, EvidenceKind.AMNESIA)
        async with api.get(f"/v1/evidence/{evidence.id().hex()}/file") as answer:
            assert (await answer.json())["code"] == "pruned"
        async with api.get(f"/v1/evidence/{evidence.id().hex()}") as answer:
            assert answer.status == 200
