"""`manage.py demo`: the demo catalogue, the demo admin and the development gateway's credential."""

import base64
import hmac
import json
import os
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from billing.models import Plan, PlanVersion, PriceVersion
from billing.plans.offering import Offer, create_plan
from billing.prices import publish_prices
from catalog.changes import announce
from catalog.models import Model, Route, Upstream
from gateway.faces.credentials import adopt_credential
from hotstate.records import Limits

DOLLAR = 10**9
MILLION = 10**6
ADMIN_EMAIL = "admin@example.com"
UPSTREAM = "demo"

# id, name, description, families, context window, most output tokens, meter → (nano-dollars, per units)
CATALOGUE: list[tuple[str, str, str, list[str], int, int, dict[str, tuple[int, int]]]] = [
    (
        "demo-chat",
        "Demo Chat",
        "Answers deterministically, quickly and with exact usage.",
        ["chat", "completions", "responses"],
        128_000,
        4_096,
        {
            "input_tokens": (DOLLAR // 2, MILLION),
            "cached_input_tokens": (DOLLAR // 20, MILLION),
            "output_tokens": (3 * DOLLAR // 2, MILLION),
        },
    ),
    (
        "demo-chat-large",
        "Demo Chat Large",
        "The same answers at a higher price.",
        ["chat", "completions", "responses"],
        200_000,
        16_384,
        {
            "input_tokens": (3 * DOLLAR, MILLION),
            "cached_input_tokens": (3 * DOLLAR // 10, MILLION),
            "output_tokens": (15 * DOLLAR, MILLION),
        },
    ),
    (
        "demo-embed",
        "Demo Embed",
        "Vectors of 1,536 dimensions.",
        ["embeddings"],
        8_192,
        0,
        {"input_tokens": (DOLLAR // 50, MILLION)},
    ),
    ("demo-image", "Demo Image", "Grey pixels.", ["images"], 4_096, 1_000, {"images": (DOLLAR // 25, 1)}),
    ("demo-video", "Demo Video", "A byte for each frame.", ["videos"], 4_096, 0, {"seconds": (DOLLAR // 1_000, 1)}),
    (
        "demo-speech",
        "Demo Speech",
        "A byte for each character.",
        ["speech"],
        4_096,
        0,
        {"characters": (15 * DOLLAR, MILLION)},
    ),
    (
        "demo-transcription",
        "Demo Transcription",
        "The bytes of the file, as text.",
        ["transcriptions"],
        4_096,
        0,
        {"seconds": (6 * DOLLAR // 1_000, 60)},
    ),
    ("demo-moderation", "Demo Moderation", "Flags what is bad.", ["moderations"], 8_192, 0, {"requests": (0, 1)}),
    (
        "demo-rerank",
        "Demo Rerank",
        "By the words of the query.",
        ["rerank"],
        8_192,
        0,
        {"search_units": (2 * DOLLAR, 1_000)},
    ),
]
# slug, name, description, fee and included credit in dollars a month, requests a minute
PLANS = [
    ("basic", "Basic", "For trying things out.", 2, 1, 60),
    ("pro", "Pro", "For what customers of yours depend on.", 4, 3, 600),
]


class Command(BaseCommand):
    """Idempotent. The last line of its output is a JSON object for the supervisor."""

    help = "Fill in the demo catalogue, the demo admin and the development gateway's credential."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--models-url", required=True, help="base URL of the demo model server, with /v1")

    @transaction.atomic
    def handle(self, *args: Any, models_url: str, **options: Any) -> None:
        now = timezone.now()
        upstream, _ = Upstream.objects.get_or_create(name=UPSTREAM, defaults={"base_url": models_url})
        upstream.base_url = models_url
        upstream.credential = os.environ.get("MODELS_CREDENTIAL", "demo-upstream-credential")
        upstream.save()
        for public_id, name, description, families, context_window, max_output_tokens, prices in CATALOGUE:
            model, _ = Model.objects.get_or_create(
                public_id=public_id,
                defaults={
                    "name": name,
                    "owned_by": "keymeter",
                    "description": description,
                    "families": families,
                    "context_window": context_window,
                    "max_output_tokens": max_output_tokens,
                    "created_at": now,
                },
            )
            Route.objects.get_or_create(model=model, upstream=upstream, upstream_model=public_id)
            if not PriceVersion.objects.filter(model=model).exists():
                publish_prices(model, prices, effective_from=None, actor=None, reason="Demo prices", now=now)
        for slug, name, description, fee, credit, rate in PLANS:
            if not Plan.objects.filter(slug=slug).exists():
                offer = Offer(
                    period=PlanVersion.Period.MONTH,
                    fee_nanos=fee * DOLLAR,
                    included_credit_nanos=credit * DOLLAR,
                    limits=Limits(requests_per_minute=rate),
                )
                create_plan(
                    slug,
                    name,
                    offer,
                    description=description,
                    public=True,
                    actor=None,
                    reason="Demo plans",
                    now=now,
                )
        if settings.GATEWAY_CREDENTIAL:
            adopt_credential("development gateway", settings.GATEWAY_CREDENTIAL, sources=["gw-*"], now=now)
        announce(now)
        self.stdout.write(json.dumps(self._admin()))

    def _admin(self) -> dict[str, str]:
        """Made from SECRET_KEY, so that nothing has to be stored to show them again."""
        password = base64.b32encode(_derived("password"))[:16].decode().lower()
        totp_secret = base64.b32encode(_derived("second factor")[:20]).decode()
        admin = User.objects.filter(email=ADMIN_EMAIL).first() or User.objects.create_superuser(ADMIN_EMAIL, password)
        EmailAddress.objects.get_or_create(user=admin, email=admin.email, defaults={"verified": True, "primary": True})
        if not Authenticator.objects.filter(user=admin, type=Authenticator.Type.TOTP).exists():
            TOTP.activate(admin, totp_secret)
        return {
            "admin_email": admin.email,
            "admin_password": password,
            "admin_totp_secret": totp_secret,
            "admin_totp_url": f"otpauth://totp/{settings.PRODUCT_NAME}:{admin.email}?secret={totp_secret}",
            "model": CATALOGUE[0][0],
        }


def _derived(purpose: str) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), f"demo admin: {purpose}".encode(), "sha256")
