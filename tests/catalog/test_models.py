"""What staff may enter about models and upstreams, and what the database keeps of it."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from catalog.models import Route, Upstream, model_id_validator
from tests.cast import make_model


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
