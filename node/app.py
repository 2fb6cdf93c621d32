"""The composition root: builds the parts of a node, joins them, runs them in one task group.

Nothing else builds parts, and no part finds another by itself.
"""

from __future__ import annotations
