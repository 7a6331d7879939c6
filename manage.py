#!/usr/bin/env python3
"""Keymeter's commands: `dev` runs everything, `test` tests it, anything else is Django's.

In a checkout the first call sets up `.venv` by itself. Where Keymeter is installed, nothing is set up.
"""

import os
import sys


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit(
            "Keymeter needs Python 3.11 or newer, and this is Python %d.%d (%s).\n"
            "Install a newer one and name it: python3.11 manage.py %s"
            % (sys.version_info[0], sys.version_info[1], sys.executable, " ".join(sys.argv[1:]))
        )
    root = os.path.dirname(os.path.abspath(__file__))
    rooms = os.path.join(root, "platform")
    if os.path.isdir(rooms) and rooms not in sys.path:
        sys.path.insert(1, rooms)

    from devstack.bootstrap import ensure_environment

    ensure_environment(root)

    from devstack.commandline import run

    run(root, sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
