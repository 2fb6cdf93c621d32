"""The importer: FHIR R4 files become sealed records in the vaults of the hospitals that own them,
and anchors on the ledger.

    scan, files      bytes to resources, streaming
    resources        what a resource is and whom it is about
    routing, plan    whose record it is, and whether we have it already
    journal          what was done, so that doing it again does nothing twice
    lane, pipeline   seal, keep, register and anchor, one lane a hospital
    report, progress what happened, without a word about a patient
"""

from __future__ import annotations
