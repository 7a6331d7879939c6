"""`python -m devstack.mailbox FOLDER --port 8025 --smtp-port 1025`: the mailbox on loopback."""

import argparse
from pathlib import Path

from aiohttp import web

from devstack.mailbox.app import application
from devstack.mailbox.letters import Letters
from devstack.ports import HOST

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path, help="where the mails are kept")
parser.add_argument("--port", type=int, default=8025)
parser.add_argument("--smtp-port", type=int, default=1025)
options = parser.parse_args()
web.run_app(
    application(Letters(options.folder), options.smtp_port),
    host=HOST,
    port=options.port,
    access_log=None,
    print=None,
    shutdown_timeout=2,
)
