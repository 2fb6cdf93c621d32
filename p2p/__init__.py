"""The mutually authenticated transport between nodes. Knows bytes and node keys, not blocks."""
