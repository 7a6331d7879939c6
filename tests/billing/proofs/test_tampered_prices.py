"""Prices: each row that is tampered with turns its proof red."""

from datetime import timedelta

import pytest
from django.db import connection

from accounts.models import ApiKey
from billing.models import (
    PriceVersion,
)
from tests.billing.proofs.conftest import NEXT_NOON, NOON, red
from tests.billing.proofs.tampering import Tamper, offender
from tests.cast import PRICES, make_model, set_prices

pytestmark = pytest.mark.usefixtures("right_before")


def test_prices(key: ApiKey, tamper: Tamper) -> None:
    version = PriceVersion.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX price_versions_do_not_overlap")
    tamper(
        "INSERT INTO billing_priceversion (model_id, effective_from, created_at, reason, off_peak)"
        " SELECT model_id, effective_from, created_at, '', off_peak FROM billing_priceversion WHERE id = %s",
        version.pk,
    )
    assert f"model {version.model_id}:" in offender("prices")


def test_prices_in_force(key: ApiKey, tamper: Tamper) -> None:
    version = PriceVersion.objects.get()
    tamper("UPDATE billing_priceversion SET effective_from = %s WHERE id = %s", NEXT_NOON, version.pk)
    assert f"name price version {version.pk}, which begins at" in offender("prices_in_force")
    tamper("UPDATE billing_priceversion SET effective_from = %s, superseded_at = now() WHERE id = %s", NOON, version.pk)
    assert "which was superseded" in offender("prices_in_force")


def test_an_event_with_the_price_of_another_model(key: ApiKey, tamper: Tamper) -> None:
    """At the same prices, so that it rates the same."""
    make_model("other")
    other = PriceVersion.objects.latest("id")
    tamper("UPDATE billing_usageevent SET price_version_id = %s WHERE seq = 6", other.pk)
    assert f"name price version {other.pk}, which is one of model {other.model_id}" in offender("prices_in_force")


def test_an_event_with_a_price_that_another_followed(key: ApiKey, tamper: Tamper) -> None:
    later = set_prices(PriceVersion.objects.get().model, PRICES, effective_from=NOON - timedelta(hours=1))
    assert "a later version was in force" in offender("prices_in_force")
    tamper("UPDATE billing_priceversion SET effective_from = %s WHERE id = %s", NEXT_NOON + timedelta(1), later.pk)
    assert red() == {}
