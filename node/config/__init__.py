"""The node's own configuration: what an operator may choose without asking the consortium.

schema.py says which keys there are, load.py where values come from (flag over environment over file
over default), and template.py writes the commented file that `medquorum init` leaves. What all
nodes must agree on is a chain parameter instead.
"""

from __future__ import annotations
