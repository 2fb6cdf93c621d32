"""The custodian's gateway: keeps this organisation's encrypted records, and releases one only after
the ledger has recorded that it may.
"""

from __future__ import annotations
