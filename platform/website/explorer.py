"""The requests of one organization, filtered as the address says, newest first, by keyset."""

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import QueryDict
from django.shortcuts import get_object_or_404

from accounts.models import ApiKey, Organization
from billing import usage
from billing.models import UsageEvent
from catalog.models import Model

PAGE = 50
CHOOSABLE = 200


@dataclass(frozen=True)
class Explorer:
    organization: Organization
    key: ApiKey | None = None
    model: Model | None = None

    @classmethod
    def of(cls, organization: Organization, query: QueryDict) -> "Explorer":
        """Read `?key=key_…&model=…`; a key of somebody else, or a model that isn't, is a 404."""
        key, model = query.get("key"), query.get("model")
        return cls(
            organization,
            get_object_or_404(organization.api_keys, public_id=key) if key else None,
            get_object_or_404(Model, public_id=model) if model else None,
        )

    def events(self, before: UUID | None = None) -> QuerySet[UsageEvent]:
        """Newest first, with key and model."""
        events = usage.events(self.organization)
        if self.key:
            events = events.filter(api_key=self.key)
        if self.model:
            events = events.filter(model=self.model)
        if before:
            events = events.filter(id__lt=before)
        return events

    def page(self, before: UUID | None = None, size: int = PAGE) -> tuple[list[UsageEvent], UUID | None]:
        """Return one page, and where the next one starts (None at the end)."""
        found = list(self.events(before)[: size + 1])
        return found[:size], found[size - 1].id if len(found) > size else None

    def choosable_keys(self) -> list[ApiKey]:
        """The newest keys, and the one that is chosen; older ones lead here from their own pages."""
        found = {*self.organization.api_keys.order_by("-id")[:CHOOSABLE], *([self.key] if self.key else [])}
        return sorted(found, key=lambda key: key.name.casefold())

    @property
    def address(self) -> str:
        """The filter as a query string."""
        chosen = {"key": self.key and self.key.public_id, "model": self.model and self.model.public_id}
        return urlencode({name: value for name, value in chosen.items() if value})
