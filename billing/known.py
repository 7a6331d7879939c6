"""What the lines of a segment name (keys, terms, secrets, models, routes, prices), looked up portion by portion."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db import connection

from billing import terms
from billing.lines import UsageLine
from billing.rate_card import RateCard, rate_card
from catalog.models import Model, Route
from hotstate.records import Terms


class Key(NamedTuple):
    """`organization` is its public id."""

    pk: int
    organization_id: int
    organization: str


KEYS = """
SELECT key.public_id, key.id, key.organization_id, organization.public_id
FROM accounts_apikey AS key JOIN accounts_organization AS organization ON organization.id = key.organization_id
WHERE key.public_id = ANY(%s)
"""
SECRETS = "SELECT api_key_id, public_id, id FROM accounts_apikeysecret WHERE public_id = ANY(%s)"


@dataclass
class Known:
    """Public names → rows, as far as lines named them. What isn't there is looked for again in the next portion."""

    keys: dict[str, Key] = field(default_factory=dict)
    # By the key that has it, and by the model that it leads to: another's is none.
    secrets: dict[tuple[int, str], int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    routes: dict[tuple[int, str], int] = field(default_factory=dict)
    _found_secrets: set[str] = field(default_factory=set)
    # By organization; who never had any has none.
    terms: dict[int, tuple[Terms, ...]] = field(default_factory=dict)
    rate_card: RateCard = field(default_factory=RateCard)

    def learn(self, lines: Iterable[UsageLine]) -> None:
        """Look up what these lines name."""
        keys, secrets, models = set(), set(), set()
        for line in lines:
            keys.add(line.key)
            if line.secret:
                secrets.add(line.secret)
            models.add(line.model)
        with connection.cursor() as cursor:
            if unknown := keys - self.keys.keys():
                cursor.execute(KEYS, [list(unknown)])
                found = {public_id: Key(*row) for public_id, *row in cursor.fetchall()}
                self.keys.update(found)
                self._learn_terms({key.organization_id for key in found.values()} - self.terms.keys())
            if unknown := secrets - self._found_secrets:
                cursor.execute(SECRETS, [list(unknown)])
                found_secrets = cursor.fetchall()
                self.secrets.update({(key, public_id): pk for key, public_id, pk in found_secrets})
                self._found_secrets.update(public_id for _, public_id, _ in found_secrets)
        if unknown := models - self.models.keys():
            self._learn_models(unknown)

    def _learn_terms(self, organization_ids: set[int]) -> None:
        if organization_ids:
            self.terms.update(dict.fromkeys(organization_ids, ()) | terms.histories(organization_ids))

    def _learn_models(self, names: set[str]) -> None:
        found = dict(Model.objects.filter(public_id__in=names).values_list("public_id", "pk"))
        self.models.update(found)
        routes = Route.objects.filter(model_id__in=found.values()).values_list("model_id", "pk")
        self.routes.update({(model, str(pk)): pk for model, pk in routes})
        self.rate_card.timelines.update(rate_card(found.values()).timelines)
