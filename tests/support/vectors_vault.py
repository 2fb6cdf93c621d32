"""Published vectors of the vault. An envelope is randomised, so the published one is kept while it
opens.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Final

from medquorum.errors import VaultError
from medquorum.kem import KemKey, kem_key_id
from medquorum.resource import canonical
from medquorum.vault import bind, seal, unwrap, wrap

Json = dict[str, object]
DIRECTORY: Final = Path(__file__).parents[1] / "vectors"

CANONICAL_CASES: Final = (
    '{"b":1.50,"a":[1E2,-0.0,112.41600000000001]}',
    '{"\\u20ac":"\\u000f\\/","\\ud83d\\ude00":null,"\\ufb33":true}',
    '{"a":1,"a":1}',
    '{"n":0.1000000000000000055}',
    '{"n":9007199254740993}',
    '{"n":1e400}',
    '{"n":NaN}',
    '{"s":"\\ud800"}',
    "[]",
    '{"a":' + "[" * 64 + "]" * 64 + "}",
)


def vault() -> Json:
    """Canonical records, a sealed one, a KEM key and an envelope."""
    chain_id, rec_id, req_id = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
    counter = iter(range(99))

    def draw(size: int) -> bytes:
        return sha256(bytes([next(counter)])).digest()[:size]

    resource = b'{"resourceType":"Observation","valueQuantity":{"value":6.10}}'
    sealed = seal(resource, chain_id=chain_id, rec_id=rec_id, version=1, draw=draw)
    key = KemKey(b"\x07" * 32)
    binding = bind(
        chain_id=chain_id,
        context=req_id,
        rec_id=rec_id,
        version=1,
        recipient=key.public,
        purpose="TREAT",
        expires_ms=1_800_000_000_000,
    )
    envelope = _kept_envelope()
    try:
        fresh = unwrap(envelope, key, binding) != sealed.secret
    except VaultError:
        fresh = True
    return {
        "canonical": [_canonical_case(text) for text in CANONICAL_CASES],
        "sealed": {
            "chain_id": chain_id.hex(),
            "rec_id": rec_id.hex(),
            "version": 1,
            "resource": resource.decode(),
            "key": sealed.key.hex(),
            "salt": sealed.salt.hex(),
            "commitment": sealed.commitment.hex(),
            "ciphertext": sealed.ciphertext.hex(),
            "ct_hash": sealed.ct_hash.hex(),
            "size_bucket": sealed.size_bucket,
        },
        "kem": {
            "seed": key.seed.hex(),
            "public": key.public.hex(),
            "id": kem_key_id(key.public).hex(),
        },
        "envelope": {
            "context": req_id.hex(),
            "purpose": "TREAT",
            "expires_ms": 1_800_000_000_000,
            "info": binding.info().hex(),
            "envelope": (wrap(sealed.secret, key.public, binding) if fresh else envelope).hex(),
        },
    }


def _kept_envelope() -> bytes:
    path = DIRECTORY / "vault.json"
    if not path.exists():
        return b""
    kept: str = json.loads(path.read_text("utf-8"))["envelope"]["envelope"]
    return bytes.fromhex(kept)


def _canonical_case(text: str) -> Json:
    try:
        return {"text": text, "canonical": canonical(text.encode()).decode()}
    except VaultError as error:
        return {"text": text, "error": error.reason}
