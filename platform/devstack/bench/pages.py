"""`bench pages`: each page's time in a real server on one core, at a large vendor: 300 models, 200 organizations.

Beside it `shell`: a staff page that is nothing but the frame which all of them have.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage

from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Role, User
from devstack.bench import servers, vendor
from devstack.bench.addresses import addresses
from devstack.bench.population import empty_database
from devstack.bench.report import Report, in_turn, percentile
from devstack.bench.samples import more_pages, samples
from hotstate.client import valkey

MOST_MS, MOST_QUERIES = 150, 30
# Headers by which `pageserver` tells, and its page that is nothing but the frame.
TOOK, COMPUTED, ASKED = "X-Bench-Took", "X-Bench-Computed", "X-Bench-Queries"
SHELL = "/staff/nothing/"
SERVER = [*servers.GRANIAN, "--blocking-threads", "1", "devstack.bench.pageserver:application"]
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@dataclass
class Measured:
    """One page: milliseconds in the server, of which so many were its own computing, and queries."""

    address: str
    took_ms: list[float] = field(default_factory=list)
    computed_ms: list[float] = field(default_factory=list)
    queries: int = 0

    def told(self) -> dict[str, object]:
        return {
            "median_ms": round(percentile(self.took_ms, 0.5), 1),
            "worst_ms": round(max(self.took_ms), 1),
            "cpu_ms": round(percentile(self.computed_ms, 0.5), 1),
            "queries": self.queries,
        }


def run(*, quick: bool) -> Report:
    """Measure; the database and Valkey are the bench's own."""
    days, rounds, runs = (7, 1, 3) if quick else (30, 2, 5)
    empty_database()
    valkey().flushdb()
    person, found, left_out = prepare(days=days)
    cookie = signed_in(person).cookies[settings.SESSION_COOKIE_NAME].value
    with servers.serving(SERVER) as server:
        visitor = Visitor(server.port, cookie)
        pages = {name: Measured(address) for name, address in found.items() if visitor.shows(address)}
        series = in_turn(
            runs,
            {
                "pages": lambda: visitor.rate(list(pages.values()) * rounds),
                "shell": lambda: visitor.rate([Measured(SHELL)] * len(pages) * rounds),
            },
        )
    took = [one for page in pages.values() for one in page.took_ms]
    return Report(
        "pages",
        series.pop("pages"),
        series,
        p50_ms=round(percentile(took, 0.5), 1),
        p99_ms=round(percentile(took, 0.99), 1),
        notes={
            "models": vendor.MODELS,
            "organizations": vendor.ORGANIZATIONS,
            "days": days,
            "latency": "in the server, one request at a time",
            f"over_{MOST_MS}_ms": [name for name, page in pages.items() if percentile(page.took_ms, 0.5) > MOST_MS],
            f"over_{MOST_QUERIES}_queries": [name for name, page in pages.items() if page.queries > MOST_QUERIES],
            "left_out": left_out,
            "pages": {name: page.told() for name, page in _slowest_first(pages)},
        },
    )


def prepare(*, days: int) -> tuple[User, dict[str, str], list[str]]:
    """The vendor: somebody who is of staff and owns the first organization, the pages as name → address, and those for
    which there is no sample."""
    now = timezone.now()
    models = vendor.make_models()
    keys = vendor.make_customers(now)
    vendor.use(keys, models, days=days, now=now)
    person = User.objects.create_user("everything@example.com", is_staff=True, is_superuser=True)
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    organization = keys[0].organization
    Membership.objects.create(user=person, organization=organization, role=Role.OWNER, created_at=now)
    found, left_out = addresses(*samples(keys[0], models[0], person, timezone.now))
    return person, found | more_pages(organization.public_id), left_out


def signed_in(person: User) -> Client:
    """A browser of theirs, past the second factor."""
    TOTP.activate(person, generate_totp_secret())
    browser = Client()
    browser.force_login(person, backend=BACKEND)
    session = browser.session
    session["account_authentication_methods"] = [{"method": "mfa", "at": time.time(), "type": "totp"}]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()
    return browser


class Visitor:
    """Asks for pages, one after the other over one connection."""

    def __init__(self, port: int, cookie: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}

    def shows(self, address: str) -> bool:
        """Whether it is a page that one looks at. Raises where the server fails."""
        status, _ = self._get(address)
        if status >= 500:
            raise RuntimeError(f"{address} answers {status}")
        return status == 200

    def rate(self, pages: Sequence[Measured]) -> float:
        """Pages a second; each notes what it took."""
        begun = time.perf_counter()
        for page in pages:
            _, told = self._get(page.address)
            page.took_ms.append(int(told[TOOK]) / 1000)
            page.computed_ms.append(int(told[COMPUTED]) / 1000)
            page.queries = int(told[ASKED])
        return len(pages) / (time.perf_counter() - begun)

    def _get(self, address: str) -> tuple[int, HTTPMessage]:
        self._connection.request("GET", address, headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers


def _slowest_first(pages: Mapping[str, Measured]) -> list[tuple[str, Measured]]:
    return sorted(pages.items(), key=lambda one: -percentile(one[1].took_ms, 0.5))
