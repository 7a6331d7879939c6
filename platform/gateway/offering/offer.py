"""What is sold, as a gateway knows it: models, routes and prices, read anew within a second of a change."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from billing import conventions
from billing.rate_card import Priced, RateCard, rate_card
from billing.terms import terms_of
from catalog.models import Alias, Model, Route, Visibility
from catalog.parameters import MOST_IMAGES
from gateway.database import in_thread
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.records import OrganizationRecord

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.4


@dataclass(frozen=True)
class OfferedRoute:
    """Where a model runs. The credential is plain here, in memory only."""

    pk: int
    base_url: str
    upstream_model: str
    credential: str
    convention: str = conventions.OPENAI
    upstream: int = 0
    priority: int = 10
    weight: int = 1
    # Of the upstream; None: the setting's, and any number.
    idle_seconds: int | None = None
    most_at_once: int | None = None

    def __repr__(self) -> str:
        return f"OfferedRoute({self.pk})"


@dataclass(frozen=True)
class OfferedModel:
    """A model that can be asked for."""

    pk: int
    public_id: str
    owned_by: str
    created: int
    families: frozenset[str]
    context_window: int
    max_output_tokens: int
    hides_reasoning: bool
    routes: tuple[OfferedRoute, ...]
    # Listed only to keys that name it.
    hidden: bool = False
    deprecated_at: datetime | None = None
    shut_down_at: datetime | None = None
    # The public id of what to use instead.
    successor: str | None = None
    # Of its pictures; none: any.
    aspect_ratios: tuple[str, ...] = ()
    image_sizes: tuple[str, ...] = ()
    # Of a request; in chats of each answer.
    most_images: int = MOST_IMAGES
    # It has one of these three: its chats may have pictures.
    draws: bool = False


@dataclass(frozen=True)
class OfferedAlias:
    """A name for several models, of which each request gets one. `choice` is of catalog.models.Choice."""

    public_id: str
    choice: str
    models: tuple[str, ...]
    created: int
    hidden: bool = False


@dataclass(frozen=True)
class Offer:
    """One state of the catalogue."""

    models: dict[str, OfferedModel]
    prices: RateCard
    aliases: dict[str, OfferedAlias] = field(default_factory=dict)

    def alias(self, name: str) -> OfferedAlias | None:
        """The alias of that name; a model goes before it."""
        return None if name in self.models else self.aliases.get(name)

    def aliases_of(self, model_id: str) -> tuple[str, ...]:
        """The names by which that model may have been asked for, besides its own."""
        return tuple(name for name, alias in self.aliases.items() if model_id in alias.models and self.alias(name))

    def available(self, model_id: str, at: datetime) -> OfferedModel | None:
        """The model, if it isn't shut down at that moment: nobody has to tell the gateways then."""
        model = self.models.get(model_id)
        return model if model and (model.shut_down_at is None or at < model.shut_down_at) else None

    def sold(self, model_id: str, family: str, at: datetime) -> OfferedModel | None:
        """The model, if it is available then, has a route and serves that family."""
        model = self.available(model_id, at)
        return model if model and model.routes and family in model.families else None

    def priced(self, model: OfferedModel, at: datetime, organization: OrganizationRecord | None) -> Priced | None:
        """What prices the organization's request of that moment, or anybody's; None where nothing does."""
        return self.prices.tariff(model.pk, at, terms_of(organization, at))


def read_offer() -> Offer:
    """Read what is enabled from the database."""
    routes = Route.objects.filter(enabled=True, upstream__enabled=True).select_related("upstream")
    by_model: dict[int, list[OfferedRoute]] = {}
    for route in routes.order_by("priority", "id"):
        offered = OfferedRoute(
            route.pk,
            route.upstream.base_url.rstrip("/"),
            route.upstream_model,
            route.upstream.credential,
            route.upstream.convention,
            route.upstream_id,
            route.priority,
            route.weight,
            route.upstream.idle_seconds,
            route.upstream.most_at_once,
        )
        by_model.setdefault(route.model_id, []).append(offered)
    models = {
        model.public_id: OfferedModel(
            pk=model.pk,
            public_id=model.public_id,
            owned_by=model.owned_by,
            created=int(model.created_at.timestamp()),
            families=frozenset(model.families),
            context_window=model.context_window,
            max_output_tokens=model.max_output_tokens,
            hides_reasoning=model.hides_reasoning,
            routes=tuple(by_model.get(model.pk, ())),
            hidden=model.visibility == Visibility.HIDDEN,
            deprecated_at=model.deprecated_at,
            shut_down_at=model.shut_down_at,
            successor=model.successor.public_id if model.successor else None,
            aspect_ratios=tuple(model.aspect_ratios),
            image_sizes=tuple(model.image_sizes),
            most_images=model.most_images or MOST_IMAGES,
            draws=bool(model.aspect_ratios or model.image_sizes or model.most_images),
        )
        for model in Model.objects.filter(enabled=True).select_related("successor")
    }
    return Offer(models, rate_card(), _aliases())


def _aliases() -> dict[str, OfferedAlias]:
    found = Alias.objects.filter(enabled=True).prefetch_related("members__model")
    return {
        alias.public_id: OfferedAlias(
            alias.public_id,
            alias.choice,
            tuple(member.model.public_id for member in alias.members.all()),
            int(alias.created_at.timestamp()),
            alias.hidden,
        )
        for alias in found
    }


class OfferWatch:
    """Keeps the newest offer. Where PostgreSQL or Valkey can't be reached, the last one stays in force."""

    def __init__(self, hotstate: HotState) -> None:
        self._hotstate = hotstate
        self._version: int | None = None
        self.offer: Offer | None = None

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            try:
                await self.refresh()
            except Unreachable:
                pass
            except Exception:
                log.exception("the offer can't be read; the last one stays in force")
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Read the offer again if it changed. Raises Unreachable, and the database's errors."""
        # The number is read first: a change in between is read once more, never missed.
        version = await self._hotstate.catalog_version()
        if self.offer is None or version != self._version:
            self.offer = await in_thread(read_offer)
            self._version = version
