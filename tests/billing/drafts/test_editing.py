"""A draft collects whole versions; what is in force already needs no line; nothing is half-changed."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import User
from billing.drafts.editing import ClosedError, change, change_all, draft_of, open_draft, put, remove
from billing.drafts.publishing import discard
from billing.drafts.versions import Wanted, wanted_of_line
from billing.models import Forecast, PriceDraft, PriceList
from billing.price_rules import PriceError
from billing.prices import publish_prices
from billing.tariff import UnitPrice
from catalog.models import Model
from tests.cast import PRICES, make_model, make_user

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NEW = UnitPrice("input_tokens", 7, 10**6)


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.com", is_staff=True)


@pytest.fixture
def model(db: None) -> Model:
    return make_model()


@pytest.fixture
def draft(staff: User) -> PriceDraft:
    return open_draft(staff, NOW)


def test_a_person_has_one_open_draft(staff: User, draft: PriceDraft) -> None:
    assert open_draft(staff, NOW) == draft == draft_of(staff)
    other = make_user("other@example.com", is_staff=True)
    assert open_draft(other, NOW) != draft
    discard(draft, actor=staff, now=NOW)
    assert draft_of(staff) is None
    assert open_draft(staff, NOW) != draft


def test_a_line_has_the_whole_version_with_what_changed(draft: PriceDraft, model: Model) -> None:
    change(draft, (model.pk, None), lambda wanted: wanted.with_price(NEW), NOW)
    line = draft.lines.get()
    prices = {price.meter: (price.amount_nanos, price.per_units) for price in wanted_of_line(line).prices}
    assert prices == {**PRICES, "input_tokens": (7, 10**6)}
    assert line.based_on == model.price_versions.get()


def test_changed_back_a_line_is_gone(draft: PriceDraft, model: Model) -> None:
    place = (model.pk, None)
    change(draft, place, lambda wanted: wanted.with_price(NEW), NOW)
    change(draft, place, lambda wanted: wanted.with_price(NEW._replace(amount_nanos=3 * 10**9)), NOW)
    assert not draft.lines.exists()


def test_a_list_of_its_own_has_its_own_lines_and_may_have_no_prices_any_more(draft: PriceDraft, model: Model) -> None:
    own = PriceList.objects.create(name="Acme", created_at=NOW)
    publish_prices(
        model, PRICES, effective_from=NOW, actor=None, reason="", now=NOW - timedelta(hours=1), price_list=own
    )
    put(draft, {(model.pk, own.pk): Wanted(), (model.pk, None): Wanted((NEW,))}, NOW)
    assert {(line.price_list, len(line.prices)) for line in draft.lines.all()} == {(own, 0), (None, 1)}


@pytest.mark.parametrize(
    ("price", "words"),
    [
        (UnitPrice("input_tokens", -1), "out of bounds"),
        (UnitPrice("input_tokens", 10**16), "out of bounds"),
        (UnitPrice("bananas", 1), "bananas"),
        (UnitPrice("images", 1, 1, 100), "requests with less input have none"),
    ],
)
def test_of_many_changes_one_that_is_wrong_leaves_all_undone_and_is_named(
    draft: PriceDraft, model: Model, price: UnitPrice, words: str
) -> None:
    other = make_model("other")
    lines = {(model.pk, None): Wanted((NEW,)), (other.pk, None): Wanted((price,))}
    with pytest.raises(PriceError, match=f"other: .*{words}"):
        put(draft, lines, NOW)
    assert not draft.lines.exists()
    draft.refresh_from_db()
    assert draft.revision == 0


def test_a_model_without_prices_left_is_refused(draft: PriceDraft, model: Model) -> None:
    with pytest.raises(PriceError, match="at least one price"):
        put(draft, {(model.pk, None): Wanted()}, NOW)


def test_a_change_supersedes_the_forecast_of_what_was(draft: PriceDraft, model: Model, staff: User) -> None:
    running = Forecast.objects.create(
        draft=draft, revision=0, asked_by=staff, asked_at=NOW, since=NOW, until=NOW, at=NOW, position="0" * 32
    )
    change_all(draft, [(model.pk, None)], lambda wanted: wanted.with_price(NEW), NOW)
    running.refresh_from_db()
    assert (running.state, running.finished_at) == (Forecast.State.SUPERSEDED, NOW)
    assert draft.revision == 1


def test_a_line_is_taken_back(draft: PriceDraft, model: Model) -> None:
    put(draft, {(model.pk, None): Wanted((NEW,))}, NOW)
    remove(draft, draft.lines.get().pk, NOW)
    assert not draft.lines.exists()


def test_a_closed_draft_is_not_changed_any_more(draft: PriceDraft, model: Model, staff: User) -> None:
    discard(draft, actor=staff, now=NOW)
    with pytest.raises(ClosedError, match="discarded"):
        put(draft, {(model.pk, None): Wanted((NEW,))}, NOW)
