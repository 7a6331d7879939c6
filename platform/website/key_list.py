"""The API keys of one organization, searched and filtered as the address says, newest first, by keyset."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, QueryDict
from django.shortcuts import get_object_or_404

from accounts.models import ApiKey, ApiKeySecret, Organization

PAGE = 50
ANY = "any"
STATES = {"active": "Active", "expired": "Expired", "revoked": "Revoked", ANY: "Any state"}
CURRENT_SECRET = Prefetch("secrets", ApiKeySecret.objects.order_by("-id"))


@dataclass(frozen=True)
class KeyList:
    """`query` is a part of a name, a key's id, or how one of its secrets ends; `after` is the last key of a page."""

    organization: Organization
    state: str = "active"
    query: str = ""
    after: ApiKey | None = None

    @classmethod
    def of(cls, organization: Organization, query: QueryDict) -> "KeyList":
        """Read `?state=…&q=…&after=key_…`; a key of somebody else, or a state that isn't, is a 404."""
        state, after = query.get("state", "active"), query.get("after")
        if state not in STATES:
            raise Http404
        last = get_object_or_404(organization.api_keys, public_id=after) if after else None
        return cls(organization, state, query.get("q", "").strip(), last)

    def page(self, now: datetime) -> tuple[list[ApiKey], ApiKey | None]:
        """Return one page, and after which key the next one goes on (None at the end)."""
        found = self._in_state(now)
        if self.query:
            found = found.filter(self._matching())
        if self.after:
            found = found.filter(pk__lt=self.after.pk)
        listed = found.select_related("organization").prefetch_related(CURRENT_SECRET).order_by("-id")
        page = list(listed[: PAGE + 1])
        return page[:PAGE], page[PAGE - 1] if len(page) > PAGE else None

    def _in_state(self, now: datetime) -> QuerySet[ApiKey]:
        keys = ApiKey.objects.filter(organization=self.organization)
        if self.state == "active":
            return keys.usable(now)
        if self.state == "expired":
            return keys.filter(revoked_at=None, expires_at__lte=now)
        return keys.filter(revoked_at__isnull=False) if self.state == "revoked" else keys

    def _matching(self) -> Q:
        matching = Q(name__icontains=self.query) | Q(public_id=self.query)
        # As this list shows a secret: its beginning, dots, its last four.
        last4 = self.query.rpartition("…")[2]
        if len(last4) == 4:
            # Not a join: with one, the disjunction looks at every secret there is.
            secrets = ApiKeySecret.objects.filter(last4=last4, api_key__organization=self.organization)
            matching |= Q(pk__in=secrets.values("api_key"))
        return matching

    @property
    def filtered(self) -> bool:
        return bool(self.address)

    @property
    def address(self) -> str:
        """The search and the filter as a query string."""
        chosen = {"q": self.query, "state": self.state if self.state != "active" else ""}
        return urlencode({name: value for name, value in chosen.items() if value})
