"""What staff may enter about models and upstreams, and what the database keeps of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from catalog.models import LifeState, Model, Route, Upstream, Visibility, model_id_validator
from tests.cast import make_key, make_model, make_organization


@pytest.mark.parametrize("public_id", ["a", "meta/llama-3.1:free", "org/model@2026+1", "x" * 200])
def test_model_ids_of_the_trade_are_taken(public_id: str) -> None:
    model_id_validator(public_id)


@pytest.mark.parametrize("public_id", ["", "/a", "-a", "a b", "a\tb", "ä", "x" * 201])
def test_other_model_ids_are_refused(public_id: str) -> None:
    with pytest.raises(ValidationError):
        model_id_validator(public_id)


@pytest.mark.django_db
def test_a_credential_is_stored_encrypted_and_can_be_forgotten() -> None:
    upstream = Upstream(name="one", base_url="http://127.0.0.1:9/v1")
    upstream.credential = "sk-plain"
    upstream.save()
    stored = Upstream.objects.get()
    assert "sk-plain" not in stored.credential_encrypted
    assert stored.credential == "sk-plain"
    stored.credential = ""
    assert (stored.credential_encrypted, stored.credential) == ("", "")


@pytest.mark.django_db
def test_a_route_exists_once_and_the_lowest_number_comes_first() -> None:
    model = make_model()
    route = model.routes.get()
    first = Route.objects.create(model=model, upstream=route.upstream, upstream_model="other", priority=1)
    assert list(model.routes.all()) == [first, route]
    with pytest.raises(IntegrityError):
        Route.objects.create(model=model, upstream=route.upstream, upstream_model=route.upstream_model)


class TestTheLifeOfAModel:
    NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
    LATER = NOW + timedelta(seconds=1)

    @pytest.mark.parametrize(
        ("fields", "state"),
        [
            ({}, LifeState.ACTIVE),
            ({"deprecated_at": LATER}, LifeState.ACTIVE),
            ({"deprecated_at": NOW}, LifeState.DEPRECATED),
            ({"deprecated_at": NOW, "shut_down_at": LATER}, LifeState.DEPRECATED),
            ({"shut_down_at": LATER}, LifeState.ACTIVE),
            ({"shut_down_at": NOW}, LifeState.SHUT_DOWN),
            ({"deprecated_at": NOW, "shut_down_at": NOW}, LifeState.SHUT_DOWN),
            ({"shut_down_at": NOW, "enabled": False}, LifeState.DISABLED),
        ],
    )
    @pytest.mark.django_db
    def test_its_state_is_the_last_that_applies_and_says_whether_it_is_sold(
        self, fields: dict[str, Any], state: LifeState
    ) -> None:
        model = make_model(**fields)
        assert model.state(self.NOW) == state
        sold = state in (LifeState.ACTIVE, LifeState.DEPRECATED)
        assert Model.objects.on_sale(self.NOW).exists() is sold
        assert Model.objects.listed(self.NOW).exists() is sold

    @pytest.mark.django_db
    def test_a_hidden_one_is_sold_and_shown_only_to_keys_that_name_it(self) -> None:
        make_model(visibility=Visibility.HIDDEN)
        assert Model.objects.on_sale(self.NOW).exists()
        assert not Model.objects.listed(self.NOW).exists()
        organization = make_organization()
        for names, shown in (([], False), (["demo-chat"], True)):
            key, _ = make_key(organization, allowed_models=names)
            assert Model.objects.shown_to(key, self.NOW).exists() is shown

    @pytest.mark.parametrize(
        "fields",
        [{"deprecated_at": LATER, "shut_down_at": NOW}, {"visibility": "secret"}, {"successor_id": 1, "id": 1}],
    )
    @pytest.mark.django_db
    def test_what_makes_no_sense_is_refused_by_the_database(self, fields: dict[str, Any]) -> None:
        with pytest.raises(IntegrityError):
            make_model(**fields)
