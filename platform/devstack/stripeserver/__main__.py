"""`python -m devstack.stripeserver --port 8003 --file FILE --webhook-url URL`: the local Stripe on loopback.

STRIPE_SECRET_KEY is the key that it takes, STRIPE_WEBHOOK_SECRETS (the first) what it signs webhooks to URL with.
"""

import argparse
import os
from pathlib import Path

from aiohttp import web

from devstack.ports import HOST
from devstack.stripeserver.app import RETRIES, Options, application

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=8003)
parser.add_argument("--file", type=Path, help="where everything is kept (default: in memory only)")
parser.add_argument("--webhook-url", help="an endpoint that gets all events")
parser.add_argument("--moment", type=float, default=0.5, help="seconds until disputes and slow refunds happen")
parser.add_argument("--retries", default=",".join(map(str, RETRIES)), help="pauses before a webhook's retries")
options = parser.parse_args()
secret = os.environ.get("STRIPE_WEBHOOK_SECRETS", "").split(",")[0]
if options.webhook_url and not secret:
    parser.error("--webhook-url needs a secret in STRIPE_WEBHOOK_SECRETS")
web.run_app(
    application(
        Options(
            address=f"http://localhost:{options.port}",
            secret_key=os.environ.get("STRIPE_SECRET_KEY", "sk_test_local"),
            webhook=(options.webhook_url, secret) if options.webhook_url else None,
            file=options.file,
            moment=options.moment,
            retries=[float(pause) for pause in options.retries.split(",") if pause],
        )
    ),
    host=HOST,
    port=options.port,
    access_log=None,
    print=None,
    shutdown_timeout=1,
)
