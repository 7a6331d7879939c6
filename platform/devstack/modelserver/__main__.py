"""`python -m devstack.modelserver --port 8002`: the demo model server on loopback."""

import argparse
import os

from aiohttp import web

from devstack.modelserver.app import application
from devstack.ports import HOST

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--port", type=int, default=8002)
web.run_app(
    application(os.environ.get("MODELS_CREDENTIAL", "demo-upstream-credential")),
    host=HOST,
    port=parser.parse_args().port,
    handler_cancellation=True,  # a handler learns at once that its client went away
    access_log=None,
    print=None,
    shutdown_timeout=2,
)
