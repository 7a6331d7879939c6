"""A draft is published once, however many press the button at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from django.db import connection

from billing.drafts.editing import open_draft, put
from billing.drafts.publishing import publish
from billing.drafts.versions import Wanted
from billing.models import PriceVersion
from billing.price_rules import PriceError
from billing.tariff import UnitPrice
from tests.cast import make_model, make_user

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PEOPLE = 4


@pytest.mark.django_db(transaction=True)
def test_of_several_at_once_one_publishes_it() -> None:
    staff = make_user("staff@example.com", is_staff=True)
    models = [make_model(name) for name in ("a", "b")]
    draft = open_draft(staff, NOW)
    put(draft, {(model.pk, None): Wanted((UnitPrice("requests", 7),)) for model in models}, NOW)
    together = Barrier(PEOPLE)

    def press(_: int) -> bool:
        together.wait(30)
        try:
            publish(draft, effective_from=None, actor=staff, reason="Together", clock=lambda: NOW)
        except PriceError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(PEOPLE) as pool:
        assert sum(pool.map(press, range(PEOPLE))) == 1
    assert PriceVersion.objects.filter(reason="Together").count() == len(models)
