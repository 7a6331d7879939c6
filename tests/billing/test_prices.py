"""Prices are published, come into force by time and are never changed."""

from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from django.db import connection, transaction

from accounts.models import AuditEntry, User
from billing.models import Price, PriceVersion
from billing.price_rules import LARGEST_AMOUNT, PriceError
from billing.prices import NOTICE, publish_prices, unit_prices_of
from billing.rate_card import rate_card, tariffs
from billing.tariff import UnitPrice
from catalog.models import Model
from hotstate.models import OutboxEntry
from tests.billing.off_peak_times import MONDAY, NIGHTS
from tests.cast import LONG_AGO, PRICES, make_model, make_price_list, make_user

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def model(db: None) -> Model:
    return make_model()


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.com", is_staff=True)


def publish(
    model: Model, amount: int, *, at: datetime | None = None, actor: User | None = None, now: datetime = NOW
) -> PriceVersion:
    return publish_prices(
        model, {"input_tokens": (amount, 1)}, effective_from=at, actor=actor, reason="Cheaper", now=now
    )


def amount_at(model: Model, at: datetime) -> int:
    priced = rate_card([model.pk]).tariff(model.pk, at)
    assert priced
    return priced.tariff.rates.prices["input_tokens"].amount_nanos


def test_without_a_start_it_begins_as_soon_as_gateways_can_know(model: Model) -> None:
    assert publish(model, 7).effective_from == NOW + NOTICE
    assert amount_at(model, NOW + NOTICE - timedelta(microseconds=1)) == PRICES["input_tokens"][0]
    assert amount_at(model, NOW + NOTICE) == 7


def test_scheduled_versions_follow_each_other(model: Model) -> None:
    publish(model, 9, at=NOW + 2 * HOUR)
    publish(model, 8, at=NOW + HOUR)
    moments = (NOW, NOW + HOUR, NOW + 2 * HOUR - timedelta(microseconds=1), NOW + 2 * HOUR, NOW + 99 * HOUR)
    assert [amount_at(model, at) for at in moments] == [PRICES["input_tokens"][0], 8, 8, 9, 9]
    in_force = PriceVersion.objects.in_force(NOW + HOUR).get(model=model)
    assert in_force.prices.get().amount_nanos == 8


def test_a_version_of_the_same_start_is_superseded_and_kept(model: Model) -> None:
    wrong = publish(model, 900, at=NOW + HOUR)
    publish(model, 9, at=NOW + HOUR, now=NOW + timedelta(minutes=1))
    wrong.refresh_from_db()
    assert (wrong.superseded_at, wrong.prices.get().amount_nanos) == (NOW + timedelta(minutes=1), 900)
    assert amount_at(model, NOW + HOUR) == 9
    assert PriceVersion.objects.standing().filter(model=model).count() == 2


def test_a_version_names_all_its_meters(model: Model) -> None:
    prices = {"input_tokens": (1, 10**6), "output_tokens": (0, 1), "images": (LARGEST_AMOUNT, LARGEST_AMOUNT)}
    version = publish_prices(model, prices, effective_from=None, actor=None, reason="", now=NOW)
    stored = {price.meter: (price.amount_nanos, price.per_units) for price in version.prices.all()}
    assert stored == prices


def test_other_models_keep_their_prices(model: Model) -> None:
    other = make_model("other")
    publish(model, 7)
    assert amount_at(other, NOW + HOUR) == PRICES["input_tokens"][0]


def test_before_the_first_version_there_is_no_price(model: Model) -> None:
    assert rate_card().tariff(model.pk, LONG_AGO - timedelta(microseconds=1)) is None
    assert rate_card([]).tariff(model.pk, NOW) is None


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ({}, "at least one"),
        ({"bananas": (1, 1)}, "bananas"),
        ({"input_tokens": (-1, 1)}, "out of bounds"),
        ({"input_tokens": (LARGEST_AMOUNT + 1, 1)}, "out of bounds"),
        ({"input_tokens": (1, 0)}, "out of bounds"),
        ({"input_tokens": (1, -1)}, "out of bounds"),
        ({"input_tokens": (1, LARGEST_AMOUNT + 1)}, "out of bounds"),
        ({"input_tokens": (1, 1), "images": (-5, 1)}, "images"),
    ],
)
def test_wrong_prices_are_refused(model: Model, prices: dict[str, tuple[int, int]], words: str) -> None:
    before = PriceVersion.objects.count()
    with pytest.raises(PriceError, match=words):
        publish_prices(model, prices, effective_from=None, actor=None, reason="", now=NOW)
    assert PriceVersion.objects.count() == before
    assert not AuditEntry.objects.filter(action="prices.publish").exists()


def unit(meter: str = "input_tokens", amount: int = 1, per: int = 1, tier: int = 0, variant: str = "") -> UnitPrice:
    return UnitPrice(meter, amount, per, tier, variant)


def test_a_version_has_tiers_variants_and_off_peak_times(model: Model, staff: User) -> None:
    prices = [unit(), unit(amount=2, tier=200_000), unit("images", 9, variant="1024x1024-hd")]
    version = publish_prices(
        model, prices, effective_from=None, actor=staff, reason="", now=NOW, off_peak=[NIGHTS], price_list=None
    )
    assert unit_prices_of(PriceVersion.objects.get(pk=version.pk)) == tuple(prices)
    tariff = tariffs([version.pk])[version.pk]
    assert (tariff.unit_prices, tariff.multiplier_at(MONDAY)) == (tuple(prices), 5000)
    assert AuditEntry.objects.get(action="prices.publish").after == {
        "input_tokens": [1, 1],
        "input_tokens from 200,000 input tokens": [2, 1],
        "images of variant 1024x1024-hd": [9, 1],
        "off_peak": [NIGHTS],
        "effective_from": (NOW + NOTICE).isoformat(),
    }


def test_a_price_list_has_versions_of_its_own(model: Model) -> None:
    enterprise = make_price_list()
    publish(model, 7, at=NOW + HOUR)
    for amounts in ({"input_tokens": (5, 1)}, {}):
        publish_prices(model, amounts, effective_from=NOW + HOUR, actor=None, reason="", now=NOW, price_list=enterprise)
    assert amount_at(model, NOW + HOUR) == 7
    stood = PriceVersion.objects.of_list(enterprise).order_by("pk")
    assert [(version.superseded_at is None, version.prices.count()) for version in stood] == [(False, 1), (True, 0)]
    assert [version.pk for version in PriceVersion.objects.in_force(NOW + HOUR, enterprise)] == [stood[1].pk]


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ([unit(), unit(amount=2)], "input_tokens has 2 prices"),
        ([unit(tier=5), unit(), unit(tier=5)], "input_tokens from 5 input tokens has 2 prices"),
        (
            [unit(), unit("output_tokens", tier=5)],
            "output_tokens from 5 input tokens has a price, and",
        ),
        ([unit("images", variant="sd"), unit("images", variant="hd", tier=5)], "variant hd has a price, and"),
        ([unit(), unit(tier=-1)], "out of bounds"),
        ([unit(), unit(tier=10**12 + 1)], "out of bounds"),
        ([unit(), unit(variant="no spaces")], "no variant"),
        ([unit(), unit(variant="v" * 61)], "no variant"),
        ([unit(), unit(amount=0.5)], "nine decimals"),  # type: ignore[arg-type]
        ([unit(), *(unit(tier=tier) for tier in range(1, 10))], "at most 8 tiers"),
        ([unit("images", variant=f"v{number}") for number in range(51)], "at most 50 variants"),
    ],
)
def test_wrong_tiers_and_variants_are_refused(model: Model, prices: list[UnitPrice], words: str) -> None:
    before = PriceVersion.objects.count()
    with pytest.raises(PriceError, match=words):
        publish_prices(model, prices, effective_from=None, actor=None, reason="", now=NOW)
    assert PriceVersion.objects.count() == before


def test_wrong_off_peak_times_are_refused(model: Model) -> None:
    with pytest.raises(PriceError, match="overlap on Monday"):
        publish_prices(model, [unit()], effective_from=None, actor=None, reason="", now=NOW, off_peak=[NIGHTS, NIGHTS])


def test_a_tier_may_name_the_finer_meter_first(model: Model) -> None:
    prices = [unit(), unit("cached_input_tokens", tier=5), unit("requests", tier=5)]
    assert publish_prices(model, prices, effective_from=None, actor=None, reason="", now=NOW).prices.count() == 3


@pytest.mark.parametrize("ahead", [-HOUR, timedelta(0), NOTICE - timedelta(microseconds=1)])
def test_a_start_that_gateways_would_learn_too_late_is_refused(model: Model, ahead: timedelta) -> None:
    with pytest.raises(PriceError, match="past"):
        publish(model, 7, at=NOW + ahead)
    assert publish(model, 7, at=NOW + NOTICE).effective_from == NOW + NOTICE


def test_a_publication_is_audited_and_announced(model: Model, staff: User) -> None:
    publish(model, 7, at=NOW + NOTICE)
    OutboxEntry.objects.all().delete()
    publish(model, 8, at=NOW + HOUR, actor=staff, now=NOW + timedelta(minutes=1))
    entry = AuditEntry.objects.filter(action="prices.publish").latest("id")
    assert (entry.target, entry.actor, entry.staff, entry.reason) == ("demo-chat", staff, True, "Cheaper")
    assert entry.before == {"input_tokens": [7, 1]}
    assert entry.after == {"input_tokens": [8, 1], "effective_from": (NOW + HOUR).isoformat()}
    assert list(OutboxEntry.objects.values_list("kind", flat=True)) == [OutboxEntry.Kind.CATALOG]


class Holder(Thread):
    """Holds a row of a model from another connection until told to let go."""

    def __init__(self, model: Model, lock: str) -> None:
        super().__init__(daemon=True)
        self.query = f"SELECT 1 FROM catalog_model WHERE id = {model.pk} {lock}"
        self.has_it, self.let_go = Event(), Event()

    def run(self) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(self.query)
                self.has_it.set()
                self.let_go.wait(30)
        finally:
            connection.close()

    def __enter__(self) -> "Holder":
        self.start()
        assert self.has_it.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self.let_go.set()
        self.join()


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_a_publication_never_waits_for_another_one(self) -> None:
        model = make_model()
        with Holder(model, "FOR NO KEY UPDATE"), pytest.raises(PriceError, match="try again"):
            publish(model, 7)
        assert Price.objects.filter(amount_nanos=7).count() == 0
        assert publish(model, 7).prices.count() == 1

    def test_a_posting_that_refers_to_the_model_is_not_in_its_way(self) -> None:
        model = make_model()
        with Holder(model, "FOR KEY SHARE"):
            publish(model, 7)
        assert amount_at(model, NOW + HOUR) == 7
