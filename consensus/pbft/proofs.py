"""Certificates and justifications: what others' signatures prove (docs/spec/pbft.md, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from consensus.limits import CERTIFICATES_MAX
from consensus.messages import (
    Justification,
    Prepared,
    PreparedCertificate,
    RoundChange,
    RoundChangeEntry,
    commit_bytes,
    prepare_bytes,
    round_change_bytes,
)
from consensus.pbft.members import Members
from consensus.signing import Verify
from medquorum.certificate import CommitCertificate, pack_signers, unpack_signers
from medquorum.errors import VerificationError


def make_prepared(
    members: Members, round_: int, block_hash: bytes, votes: Mapping[bytes, bytes]
) -> PreparedCertificate:
    """The certificate of verified PREPARE signatures, keyed by signer: none counts twice."""
    order = sorted(members.position[key] for key in votes)
    signatures = tuple(votes[members.keys[place]] for place in order)
    return PreparedCertificate(round_, block_hash, pack_signers(order, members.n), signatures)


def signers_of(members: Members, bitmap: bytes) -> tuple[bytes, ...]:
    """The keys in a bitmap of signers; none if it is no bitmap over these members."""
    try:
        places = unpack_signers(bitmap, members.n)
    except VerificationError:
        return ()
    return tuple(members.keys[place] for place in places)


def is_quorum_of(
    members: Members, bitmap: bytes, signatures: tuple[bytes, ...], message: bytes, verify: Verify
) -> bool:
    """Whether a quorum of distinct members signed `message`: one signature for each bit."""
    signers = signers_of(members, bitmap)
    if len(signers) < members.quorum or len(signers) != len(signatures):
        return False
    return all(
        verify(signer, message, signature)
        for signer, signature in zip(signers, signatures, strict=True)
    )


class CertificateBook:
    """The prepared certificates of one height that were verified, each once."""

    __slots__ = ("_chain_id", "_height", "_known", "_verify", "members")

    def __init__(self, chain_id: bytes, height: int, members: Members, verify: Verify) -> None:
        self.members = members
        self._chain_id = chain_id
        self._height = height
        self._verify = verify
        self._known: dict[tuple[int, bytes], PreparedCertificate] = {}

    def add(self, certificate: PreparedCertificate) -> None:
        """Remember a certificate that is known to be good."""
        self._known.setdefault((certificate.round, certificate.block_hash), certificate)
        if len(self._known) > CERTIFICATES_MAX:
            del self._known[min(self._known)]

    def learn(self, certificate: PreparedCertificate) -> PreparedCertificate | None:
        """A good certificate for what `certificate` claims, or None.

        What is known by (round, hash) is answered with the known one: then the signatures given
        were not looked at, and must not be passed on.
        """
        known = self._known.get((certificate.round, certificate.block_hash))
        if known is not None:
            return known
        message = prepare_bytes(
            self._chain_id, self._height, certificate.round, certificate.block_hash
        )
        if not is_quorum_of(
            self.members, certificate.signers, certificate.signatures, message, self._verify
        ):
            return None
        self.add(certificate)
        return certificate

    def commit_holds(self, certificate: CommitCertificate) -> bool:
        """Whether a quorum committed what `certificate` says, at this height (rule C4)."""
        if certificate.engine != "pbft" or certificate.height != self._height:
            return False
        message = commit_bytes(
            self._chain_id,
            self._height,
            certificate.round,
            certificate.block_hash,
            certificate.result_hash,
        )
        return is_quorum_of(
            self.members, certificate.signers, certificate.signatures, message, self._verify
        )

    def entry_holds(self, round_: int, entry: RoundChangeEntry) -> bool:
        """Whether its signer wished for `round_` with this claim."""
        message = round_change_bytes(self._chain_id, self._height, round_, entry.prepared)
        return self._verify(entry.signer, message, entry.signature)


def highest_claim(justification: Justification) -> Prepared | None:
    """What was prepared last according to a justification that holds; None if nothing was."""
    for certificate in justification.certificate:
        return Prepared(certificate.round, certificate.block_hash)
    return None


def are_distinct(members: Members, signers: list[bytes]) -> bool:
    """Whether all are members, in ascending order of their places: so nobody is there twice."""
    places = [members.position.get(signer, -1) for signer in signers]
    return all(place >= 0 for place in places) and all(
        before < after for before, after in pairwise(places)
    )


def justification_fault(
    book: CertificateBook,
    round_: int,
    justification: Justification,
    known: Mapping[bytes, RoundChange],
) -> str:
    """Why `justification` does not open `round_`; empty if it does (rule P3).

    `known` are round changes whose signatures need no second look. Signatures come last, so that
    junk costs no elliptic curve.
    """
    entries = justification.entries
    if len(entries) < book.members.quorum:
        return "justification_too_small"
    if not are_distinct(book.members, [entry.signer for entry in entries]):
        return "justification_signers"
    claims = [claim for entry in entries for claim in entry.prepared]
    if any(claim.round >= round_ for claim in claims):
        return "justification_claim_round"
    fault = _certificate_fault(claims, justification)
    if fault:
        return fault
    for entry in entries:
        seen = known.get(entry.signer)
        if seen is not None and seen.round == round_ and seen.entry() == entry:
            continue
        if not book.entry_holds(round_, entry):
            return "justification_signature"
    if any(book.learn(certificate) is None for certificate in justification.certificate):
        return "justification_certificate"
    return ""


def _certificate_fault(claims: list[Prepared], justification: Justification) -> str:
    """The certificate must be for a highest claim; other claims of that round do not matter."""
    certificate = next(iter(justification.certificate), None)
    if len(claims) == 0:
        return "" if certificate is None else "justification_needless_certificate"
    if certificate is None:
        return "justification_without_certificate"
    highest = max(claim.round for claim in claims)
    if Prepared(certificate.round, certificate.block_hash) not in claims:
        return "justification_certificate_unclaimed"
    if certificate.round != highest:
        return "justification_hides_highest"
    return ""
