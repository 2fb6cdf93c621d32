"""Why somebody wants to see a record: the purposes of use, a closed tree.

The tree is the HL7 v3 ActReason hierarchy under PurposeOfUse as FHIR R4 publishes it (60 codes with
the root). On the chain a purpose is the lower-case code (`treat` for TREAT), because every token
there is lower-case; `hl7_code` gives the published spelling back. A purpose includes all that stand
below it: a grant for `treat` covers `etreat`.

To add a code, add it to the enumeration and say below which one it stands. Bodies that name it then
need a new version of their transaction type, because the members must agree on the height from
which it is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from medquorum.invariants import require


class Purpose(StrEnum):
    """A purpose of use."""

    PURPOSE_OF_USE = "purposeofuse"
    HMARKT = "hmarkt"
    HOPERAT = "hoperat"
    CAREMGT = "caremgt"
    DONAT = "donat"
    FRAUD = "fraud"
    GOV = "gov"
    HACCRED = "haccred"
    HCOMPL = "hcompl"
    HDECD = "hdecd"
    HDIRECT = "hdirect"
    HDM = "hdm"
    HLEGAL = "hlegal"
    HOUTCOMS = "houtcoms"
    HPRGRP = "hprgrp"
    HQUALIMP = "hqualimp"
    HSYSADMIN = "hsysadmin"
    LABELING = "labeling"
    METAMGT = "metamgt"
    MEMADMIN = "memadmin"
    MILCDM = "milcdm"
    PATADMIN = "patadmin"
    PATSFTY = "patsfty"
    PERFMSR = "perfmsr"
    RECORDMGT = "recordmgt"
    SYSDEV = "sysdev"
    HTEST = "htest"
    TRAIN = "train"
    HPAYMT = "hpaymt"
    CLMATTCH = "clmattch"
    COVAUTH = "covauth"
    COVERAGE = "coverage"
    ELIGDTRM = "eligdtrm"
    ELIGVER = "eligver"
    ENROLLM = "enrollm"
    MILDCRG = "mildcrg"
    REMITADV = "remitadv"
    HRESCH = "hresch"
    BIORCH = "biorch"
    CLINTRCH = "clintrch"
    CLINTRCHNPC = "clintrchnpc"
    CLINTRCHPC = "clintrchpc"
    PRECLINTRCH = "preclintrch"
    DSRCH = "dsrch"
    POARCH = "poarch"
    TRANSRCH = "transrch"
    PATRQT = "patrqt"
    FAMRQT = "famrqt"
    PWATRNY = "pwatrny"
    SUPNWK = "supnwk"
    PUBHLTH = "pubhlth"
    DISASTER = "disaster"
    THREAT = "threat"
    TREAT = "treat"
    CLINTRL = "clintrl"
    COC = "coc"
    ETREAT = "etreat"
    BTG = "btg"
    ERTREAT = "ertreat"
    POPHLTH = "pophlth"


_P = Purpose

CHILDREN: Final[Mapping[Purpose, tuple[Purpose, ...]]] = MappingProxyType(
    {
        _P.PURPOSE_OF_USE: (
            *(_P.HMARKT, _P.HOPERAT, _P.HPAYMT, _P.HRESCH, _P.PATRQT, _P.PUBHLTH, _P.TREAT),
        ),
        _P.HOPERAT: (
            *(_P.CAREMGT, _P.DONAT, _P.FRAUD, _P.GOV, _P.HACCRED, _P.HCOMPL, _P.HDECD, _P.HDIRECT),
            *(_P.HDM, _P.HLEGAL, _P.HOUTCOMS, _P.HPRGRP, _P.HQUALIMP, _P.HSYSADMIN, _P.MEMADMIN),
            # Standing directly under hoperat, milcdm is covered by the fewest grants.
            *(_P.MILCDM, _P.PATADMIN, _P.PATSFTY, _P.PERFMSR, _P.RECORDMGT, _P.SYSDEV, _P.TRAIN),
        ),
        _P.HSYSADMIN: (_P.LABELING, _P.METAMGT),
        _P.SYSDEV: (_P.HTEST,),
        _P.HPAYMT: (_P.CLMATTCH, _P.COVAUTH, _P.COVERAGE, _P.REMITADV),
        _P.COVERAGE: (_P.ELIGDTRM, _P.ELIGVER, _P.ENROLLM, _P.MILDCRG),
        _P.HRESCH: (_P.BIORCH, _P.CLINTRCH, _P.DSRCH, _P.POARCH, _P.TRANSRCH),
        _P.CLINTRCH: (_P.CLINTRCHNPC, _P.CLINTRCHPC, _P.PRECLINTRCH),
        _P.PATRQT: (_P.FAMRQT, _P.PWATRNY, _P.SUPNWK),
        _P.PUBHLTH: (_P.DISASTER, _P.THREAT),
        _P.TREAT: (_P.CLINTRL, _P.COC, _P.ETREAT, _P.POPHLTH),
        _P.ETREAT: (_P.BTG, _P.ERTREAT),
    }
)
"""The tree: which purposes stand directly below which."""


def _ancestors() -> Mapping[Purpose, frozenset[Purpose]]:
    above: dict[Purpose, frozenset[Purpose]] = {
        Purpose.PURPOSE_OF_USE: frozenset({Purpose.PURPOSE_OF_USE})
    }
    level = [Purpose.PURPOSE_OF_USE]
    while level:
        parent = level.pop()
        for child in CHILDREN.get(parent, ()):
            require(child not in above, f"the purpose {child} stands twice in the tree")
            above[child] = above[parent] | {child}
            level.append(child)
    require(len(above) == len(Purpose), "a purpose stands nowhere in the tree")
    return MappingProxyType(above)


INCLUDED_IN: Final = _ancestors()
"""For each purpose the purposes that include it: itself, and all above it."""


def is_a(purpose: Purpose, general: Purpose) -> bool:
    """Whether `purpose` is `general` or stands below it."""
    return general in INCLUDED_IN[purpose]


def hl7_code(purpose: Purpose) -> str:
    """The code as HL7 spells it."""
    return "PurposeOfUse" if purpose is Purpose.PURPOSE_OF_USE else purpose.value.upper()


def purpose_of_hl7_code(code: str) -> Purpose | None:
    """The purpose that HL7 spells so, or None."""
    known = Purpose.__members__.get("PURPOSE_OF_USE" if code == "PurposeOfUse" else code)
    return known if known is not None and hl7_code(known) == code else None
