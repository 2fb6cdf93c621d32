"""The machines of a run, founded from its options."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from devnet.sim.checks import Checker
from devnet.sim.dice import Dice
from devnet.sim.disk import SimDisk
from devnet.sim.extra import CODE_HASH, EXTRA, NAME
from devnet.sim.machine import Machine, Pace
from devnet.sim.network import Net, Weather
from devnet.sim.options import Options
from devnet.sim.register import DIVERGING, REGISTER
from devnet.sim.world import World
from medquorum.block import Validator
from medquorum.genesis import Genesis, GenesisOrg, GenesisParam
from medquorum.keys import SigningKey, derive_seed
from node.config.schema import P2P, Config, Consensus, Snapshots, Sync
from node.ledger.params import ACTIVATION_HEIGHTS
from node.ledger.registry import Registry
from node.ledger.types import BUILT_IN

GENESIS_TIME_MS = 1_800_000_000_000
OLD_SOFTWARE = Registry([*BUILT_IN, REGISTER])
NEW_SOFTWARE = Registry([*BUILT_IN, REGISTER], [EXTRA], {NAME: CODE_HASH})
DIVERGING_SOFTWARE = Registry([*BUILT_IN, DIVERGING], [EXTRA], {NAME: CODE_HASH})


def key_of(purpose: str) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(derive_seed(b"simulator", purpose))


def found(options: Options) -> Genesis:
    """A chain of n hospitals with a validator each."""
    orgs = [derive_seed(b"simulator org", str(place)) for place in range(options.n)]
    return Genesis(
        1,
        "devnet-sim",
        GENESIS_TIME_MS,
        options.engine,
        (GenesisParam(ACTIVATION_HEIGHTS, 5),),
        tuple(
            GenesisOrg(org, "hospital", bytes(32), "xx", key_of(f"org {place}").public, "")
            for place, org in enumerate(orgs)
        ),
        tuple(
            Validator(key_of(f"vote {place}").public, key_of(f"node {place}").public, org)
            for place, org in enumerate(orgs)
        ),
    )


@dataclass(slots=True)
class Cluster:
    """The machines and what joins them."""

    world: World
    options: Options
    genesis: Genesis
    net: Net[Machine]
    checker: Checker
    is_calm: bool = False
    """Whether faults are over, for machines that join later as well."""

    def add(self, name: str, node_key: SigningKey, validator: SigningKey | None) -> Machine:
        """One more machine with an empty disk."""
        options, rng = self.options, self.world.rng
        machine = Machine(
            world=self.world,
            net=self.net,
            observer=self.checker,
            name=name,
            node_key=node_key,
            validator=validator,
            genesis=self.genesis,
            registry=self._software(name, validator),
            config=Config(
                consensus=Consensus(
                    round_ms=options.round_ms,
                    round_ms_max=options.round_ms_max,
                    resend_ms=options.resend_ms,
                ),
                snapshots=Snapshots(interval_heights=0),
                sync=Sync(mode="blocks"),
            ),
            disk=SimDisk(Dice(rng.random())),
        )
        self._spread_addresses()
        machine.pace = Pace(
            sync_ms=(0.1, options.sync_ms),
            execute_ms=(0.1, options.execute_ms),
            execute_tail=options.execute_tail,
            crash=options.crash,
        )
        machine.disk.faults.sync_fails = options.sync_fails
        machine.disk.faults.full = options.full
        machine.rate = 1.0 + rng.uniform(-options.drift, options.drift)
        machine.skew_ms = rng.randint(-options.skew_ms, options.skew_ms)
        if self.is_calm:
            self._calm(machine)
        return machine

    def _spread_addresses(self) -> None:
        """All operators hear of all machines. It counts from the next start of a node on."""
        names = dict.fromkeys(m.node_key.public.hex() for m in self.net.machines if not m.retired)
        peers = P2P(peers=tuple(f"{name}@sim:1" for name in names))
        for machine in self.net.machines:
            machine.config = structs.replace(machine.config, p2p=peers)

    def _software(self, name: str, validator: SigningKey | None) -> Registry:
        """During an upgrade some machines have the new software and others do not yet."""
        is_liar = validator is not None and validator.public in self.checker.byzantine
        if is_liar and self.options.lie == "diverge":
            return DIVERGING_SOFTWARE
        if self.options.changes != "upgrade" or self.world.rng.chance(0.5):
            return NEW_SOFTWARE
        self.checker.allowed.old_software.add(name)
        return OLD_SOFTWARE

    def calm(self) -> None:
        """No fault happens any more, and everything that was down comes up. Liars go on lying."""
        self.net.weather = Weather(delay_ms=(0.5, 3.0))
        self.net.lose = None
        self.net.slow.clear()
        self.net.cut(set())
        self.is_calm = True
        for machine in self.net.machines:
            self._calm(machine)
            if not (machine.is_up or machine.retired):
                machine.boot()

    def _calm(self, machine: Machine) -> None:
        machine.pace.crash = 0.0
        machine.pace.execute_tail = 0.0
        low, high = machine.pace.execute_ms
        machine.pace.execute_ms = (low, min(high, self.options.round_ms / 4))
        machine.disk.faults.sync_fails = machine.disk.faults.full = 0.0
        machine.disk.faults.rot = 0.0
        machine.skew_ms = 0
        if not machine.retired:
            machine.restart_ms = (20.0, 100.0)
        if machine.registry is OLD_SOFTWARE:
            machine.registry = NEW_SOFTWARE
