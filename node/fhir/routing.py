"""Whose record it is.

1. A resource that names an encounter belongs to the hospital of the encounter.
2. An encounter belongs to the hospital that its serviceProvider is; a patient, and whatever names
   no encounter, to the hospital that the patient's managingOrganization is.
3. An organisation of the data is the hospital that lists it under `providers`. Any other, and any
   encounter or patient that names none, is given to a hospital by its identity alone:

       hospital number  SHA-256("medquorum/import/v1" 0x00 || identity) mod n,
       hospitals in the order of their organisation ids

   so that every run, on any machine, gives it to the same one. With one hospital that is all.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from node.fhir.hospitals import Hospital

_TAG: Final = b"medquorum/import/v1\0"


class Routing:
    """The rule for one set of hospitals."""

    def __init__(self, hospitals: Sequence[Hospital]) -> None:
        self._hospitals = sorted(hospitals, key=lambda hospital: hospital.org)
        self._by_provider = {
            provider: hospital for hospital in hospitals for provider in hospital.providers
        }

    def lists(self, org: bytes) -> bool:
        """Whether a hospital takes part in this import."""
        return any(hospital.org == org for hospital in self._hospitals)

    def by_identity(self, identity: str) -> Hospital:
        """The hospital of an organisation, encounter or patient of the data."""
        listed = self._by_provider.get(identity)
        if listed is not None:
            return listed
        digest = sha256(_TAG + identity.encode("utf-8", "surrogatepass")).digest()
        return self._hospitals[int.from_bytes(digest, "big") % len(self._hospitals)]
