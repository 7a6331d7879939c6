"""A page that can't be shown says why, and never shows a trace."""

import pytest
from django.db import OperationalError
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OperationalError("connection refused at 10.0.0.1"), 503, "The database can’t be reached"),
        (RuntimeError("a secret detail"), 500, "Something broke on our side"),
    ],
)
def test_the_page_says_whose_trouble_it_is(
    error: Exception, status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("website.views.landing.render", failing)
    answer = Client(raise_request_exception=False).get("/")
    assert answer.status_code == status
    page = answer.content.decode().replace("&#x27;", "’").replace("'", "’")
    assert words in page
    assert str(error) not in page
