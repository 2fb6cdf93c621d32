"""The HTTP API, version 1: routes declared beside their handlers, one file a group.

errors      refusals that only this side knows
problems    what a refusal looks like (RFC 9457)
routes      how a route is declared: the OpenAPI document is generated from it
media       content types, and bodies read within their limits
params      query parameters into structures
view        ledger structures as JSON
endpoint    what happens around every handler, in its order
middleware  what happens around every request, whatever route it asks for
txs, blocks, state, query, schemas, events, status, vault   the handlers
openapi     the document
app         all of it in one application
"""

from __future__ import annotations
