"""Patients whose records load can anchor: pseudonyms that each hospital registers.

Doing it twice is harmless.
"""

from __future__ import annotations

from typing import Final

from devnet.economy import Till
from devnet.keys import DevnetKeys
from devnet.people import exists, submit
from devnet.signing import PATIENTS, patient_of
from medquorum.client import Client
from medquorum.codec import Wire
from node.ledger.types.records.bodies import RegisterPatient
from node.ledger.types.records.classes import Confidentiality
from node.ledger.types.records.terms import DefaultPolicy

REGISTRAR: Final = "registrar"


async def admit(client: Client, tills: list[Till]) -> None:
    """Make sure that every hospital has its patients. Its actors must be enrolled. Raises
    StateError, ClientError.
    """
    for till in tills:
        if not await exists(client, "rec.patient", pid=patient_of(till.keys, till.org, 0)):
            registrar = till.keys.actor(till.org, REGISTRAR)
            await submit(client, registrations(till.keys, till.org), [registrar])


def registrations(keys: DevnetKeys, org: str) -> list[tuple[str, Wire]]:
    """The operations that register the patients of a hospital, for its registrar to sign."""
    return [
        (
            "rec.patient.register",
            RegisterPatient(
                patient_of(keys, org, number),
                keys.org_id(org),
                DefaultPolicy.DENY,
                0,
                Confidentiality.N,
                b"",
            ),
        )
        for number in range(PATIENTS)
    ]
