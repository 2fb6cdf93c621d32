"""Short runs that are made for one rule each."""

from __future__ import annotations

from consensus.engine import Received
from consensus.messages import Message
from consensus.raft.engine import RaftEngine
from consensus.raft.messages import Decision, ack_bytes
from medquorum.certificate import CommitCertificate, make_certificate
from tests.support.engine_checks import Violation
from tests.support.engine_host import Host
from tests.support.engine_world import CHAIN_ID, TestSigner, genesis_started, sign, verify
from tests.support.engines import TIMING, Cluster


def leaders(cluster: Cluster) -> list[str]:
    """Who thinks that it leads."""
    return [
        host.name
        for host in cluster.hosts
        if host.engine is not None and host.engine.status().proposer == host.key
    ]


def idle_cluster(n: int, seed: int) -> tuple[Cluster, Host]:
    """Validators with nothing to decide, and the one that leads them."""
    cluster = Cluster(seed, n, engine="raft")
    for host in cluster.hosts:
        host.has_work = False
    cluster.boot()
    cluster.run_for(2 * TIMING.round_ms)
    [name] = leaders(cluster)
    return cluster, next(host for host in cluster.hosts if host.name == name)


def apart(cluster: Cluster, alone: Host, *, hears: bool, is_heard: bool) -> None:
    """Cut one validator's lines, in one direction or in both."""

    def lose(sender: bytes, receiver: bytes, _message: Message) -> bool:
        deaf = receiver == alone.key and not hears
        return deaf or (sender == alone.key and not is_heard)

    cluster.network.lose = lose


def _settled(cluster: Cluster, leader: Host, what: str) -> None:
    """The same leader, in the term of its first election, and everybody agrees."""
    for host in cluster.hosts:
        known = None if host.engine is None else host.engine.status()
        if known is None or (known.proposer, known.round) != (leader.key, 1):
            raise Violation(f"{what} cost the leader its place")


def run_isolated(seed: int, n: int = 3) -> None:
    """Who comes back after a long time alone does not disturb the others (pre-vote)."""
    cluster, leader = idle_cluster(n, seed)
    alone = next(host for host in cluster.hosts if host is not leader)
    apart(cluster, alone, hears=False, is_heard=False)
    cluster.run_for(20 * TIMING.round_ms)
    cluster.network.lose = lambda _from, _to, _message: False
    cluster.run_for(5 * TIMING.round_ms)
    _settled(cluster, leader, "an isolated validator")


def run_deaf(seed: int, n: int = 3) -> None:
    """Who hears nobody asks for votes for ever, and gets none while the leader is there (lease)."""
    cluster, leader = idle_cluster(n, seed)
    deaf = next(host for host in cluster.hosts if host is not leader)
    apart(cluster, deaf, hears=False, is_heard=True)
    cluster.run_for(20 * TIMING.round_ms)
    cluster.network.lose = lambda _from, _to, _message: False
    cluster.run_for(5 * TIMING.round_ms)
    _settled(cluster, leader, "a deaf validator")


def run_lonely(seed: int, n: int = 3) -> None:
    """A leader without a majority stops leading; the others elect one (check-quorum)."""
    cluster, leader = idle_cluster(n, seed)
    apart(cluster, leader, hears=False, is_heard=False)
    cluster.run_for(5 * TIMING.round_ms)
    found = leaders(cluster)
    if leader.name in found:
        raise Violation("a leader without followers goes on leading")
    if len(found) != 1:
        raise Violation("a majority without a leader elects none")


def forged(cluster: Cluster, *, signers: int, term: int, signed_term: int) -> CommitCertificate:
    """A certificate of block `b`, result `r` that its signatures may not bear out."""
    message = ack_bytes(CHAIN_ID, 1, signed_term, b"b" * 32, b"r" * 32)
    return make_certificate(
        engine="raft",
        height=1,
        round_=term,
        block_hash=b"b" * 32,
        result_hash=b"r" * 32,
        votes={place: sign(cluster.keys[place], message) for place in range(signers)},
        n=len(cluster.keys),
    )


def run_forged(seed: int, n: int = 3) -> None:
    """No engine takes a certificate of a minority, or one whose acks are of another term."""
    cluster = Cluster(seed, n, engine="raft")
    for signers, term, signed_term in ((n // 2, 0, 0), (n, 1, 0), (n, 0, 1)):
        engine = RaftEngine.recover(
            chain_id=CHAIN_ID,
            signer=TestSigner(cluster.keys[0]),
            verify=verify,
            timing=TIMING,
            started=genesis_started(cluster.validators),
            records=(),
        )
        engine.start()
        certificate = forged(cluster, signers=signers, term=term, signed_term=signed_term)
        message = Decision(1, certificate)
        effects = engine.step(Received(cluster.keys[1], message))
        if len(effects.faults) == 0:
            raise Violation(f"a certificate of {signers} acks of term {signed_term} is taken")


DIRECTED_RUNS = (run_isolated, run_deaf, run_lonely, run_forged)


def run_directed(seed: int, n: int) -> None:
    """All of them, for one size and seed."""
    for run in DIRECTED_RUNS:
        run(seed, max(3, n))
