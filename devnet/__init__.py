"""Local networks, fault injection and the deterministic simulator. Never shipped in the wheel."""
