"""`python -m devnet`."""

from __future__ import annotations

from devnet.commands.main import main

if __name__ == "__main__":
    main()
