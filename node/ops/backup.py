"""Has a backup of the running node made on an operator's wish: POST /backup.

The directory is the configuration's and nobody's to name in a request.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from node.backup.making import BackupMade
from node.errors import RefusedError
from node.ops.asked import asked
from node.services import Services


class BackupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing is to be chosen."""


async def back_up(services: Services, request: web.Request) -> BackupMade:
    """Make a backup of the last height; answers once it is durable. Raises RefusedError."""
    await asked(request, BackupRequest, services.allowed_hosts)
    if services.backups is None:
        raise RefusedError("not_found", "this node makes no backups: backup.directory is empty")
    return await services.backups.make()
