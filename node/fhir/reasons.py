"""Why a resource, or a whole file, was not imported. The names are stable."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reason of a refusal. The first group is about files, the second about resources, the
    third about what became of records that were fine.
    """

    UNREADABLE = "unreadable"
    """The file could not be opened or read to its end."""
    EMPTY_FILE = "empty_file"
    NOT_JSON = "not_json"
    """Also a file that was cut off. Nothing of such a file is imported."""
    NOT_FHIR = "not_fhir"
    """JSON, but not an object, or a bundle whose entries are no list of objects."""
    BUNDLE_HISTORY = "bundle_history"
    """A history lists versions newest first, so it cannot be anchored in its order."""

    NO_RESOURCE = "no_resource"
    """An entry that only asks for something, for instance to delete."""
    NO_RESOURCE_TYPE = "no_resource_type"
    UNKNOWN_TYPE = "unknown_type"
    """Not a resource type of FHIR R4."""
    NO_ID = "no_id"
    """Neither an id nor a full URL, so it could not be recognised when it comes again."""
    BAD_ID = "bad_id"
    """Not an id as FHIR defines it."""
    DUPLICATE_KEY = "duplicate_key"
    """A name stands twice in one object: two readers could see two records."""
    NUMBER_NOT_EXACT = "number_not_exact"
    """A number that no double holds: two readers could see two values."""
    BAD_TEXT = "bad_text"
    """A string with half a character (a lone surrogate)."""
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    NO_PATIENT = "no_patient"
    """A record must be about a patient, and this one names none."""
    PATIENT_UNRESOLVED = "patient_unresolved"
    """It names a patient in a way that leads nowhere in these files."""
    SEVERAL_PATIENTS = "several_patients"
    PATIENT_CHANGED = "patient_changed"
    """A new version of a record that was about another patient."""
    CONFIDENTIALITY_CHANGED = "confidentiality_changed"
    """A new version that is more secret than the record may become."""
    HOSPITAL_NOT_LISTED = "hospital_not_listed"
    """A new version of a record whose hospital takes no part in this import."""

    VAULT_REFUSED = "vault_refused"
    LEDGER_REJECTED = "ledger_rejected"


OF_VAULT_ERROR = {
    "resource_json": Reason.NOT_JSON,
    "resource_duplicate": Reason.DUPLICATE_KEY,
    "resource_number": Reason.NUMBER_NOT_EXACT,
    "resource_text": Reason.BAD_TEXT,
    "resource_depth": Reason.TOO_DEEP,
    "resource_size": Reason.TOO_LARGE,
}
"""What the canonical form refuses (medquorum.resource), by its reasons."""
