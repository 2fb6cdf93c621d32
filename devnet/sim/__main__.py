"""`python -m devnet.sim`."""

from __future__ import annotations

import sys

from devnet.sim.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
