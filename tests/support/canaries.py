"""Secrets that must be found nowhere, however they are written down."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path


def encodings(secret: bytes) -> Iterator[bytes]:
    """The ways in which bytes are written down."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield secret[::-1]
    yield json.dumps(secret.decode("latin-1")).encode()
    yield json.dumps(secret.decode("utf-8", errors="replace")).encode()
    yield repr(secret).encode()
    for encoded in (
        base64.b64encode(secret),
        base64.urlsafe_b64encode(secret),
        base64.b32encode(secret),
        base64.b85encode(secret),
    ):
        yield encoded.rstrip(b"=")


def files_with(secret: bytes, directory: Path) -> list[Path]:
    """The files below a directory that hold a secret, in their content or in their path."""
    forms = list(encodings(secret))
    return [
        path
        for path in sorted(directory.rglob("*"))
        for data in [path.read_bytes() if path.is_file() else b""]
        if any(form in data or form in str(path).encode() for form in forms)
    ]
