"""The synthetic patients of the demonstration; NOTICE says where they come from."""

from __future__ import annotations
