"""What the faults may hit: a posting and a publish are told by what they are, and nothing else is taken for one."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.db import connection, transaction

from accounts.models import ApiKey
from billing import sequences
from billing.posting import post_segment
from hotstate.models import OutboxEntry
from tests.cast import give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line
from tests.e2e.faults import open_work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]


@pytest.fixture
def key() -> ApiKey:
    make_model()
    organization = make_organization()
    give_credit(organization, 10**9)
    return make_key(organization)[0]


@pytest.fixture
def seen() -> Iterator[Callable[[], set[str]]]:
    """What another connection sees of this one's work."""
    of = connection.settings_dict
    who = {"user": of["USER"], "password": of["PASSWORD"], "dbname": of["NAME"]}
    with psycopg.connect(host=of["HOST"], port=of["PORT"], autocommit=True, **who) as looking:
        yield lambda: {doing for _, doing in open_work(looking)}


def during(place: str, seen: Callable[[], set[str]], work: Callable[[], Any]) -> list[set[str]]:
    """What is seen at each call of that function, while this work is done."""
    module, _, name = place.rpartition(".")
    found = []
    real = getattr(__import__(module, fromlist=[name]), name)

    def looked(*args: Any, **kwargs: Any) -> Any:
        found.append(seen())
        return real(*args, **kwargs)

    with patch(place, looked):
        work()
    assert found
    return found


def test_a_posting_is_seen_from_its_first_events_to_its_end(key: ApiKey, seen: Callable[[], set[str]]) -> None:
    for seq, place in enumerate(("billing.posting.insert_new", "billing.posting._charge", "billing.turns.number"), 1):
        posting = partial(post_segment, make_segment(raw(usage_line(key, seq=seq))).pk, now=datetime.now(UTC))
        assert during(place, seen, posting) == [{"posting"}]
    assert seen() == set()


@pytest.mark.parametrize("place", ["hotstate.outbox._put_all", "hotstate.publish.put"])
def test_a_publish_is_seen_while_valkey_is_told(key: ApiKey, seen: Callable[[], set[str]], place: str) -> None:
    credit = partial(give_credit, key.organization, 1, key=place)
    assert during(place, seen, credit)[0] == {"publish"}
    assert seen() == set()


def test_looking_after_sequences_is_neither(key: ApiKey, seen: Callable[[], set[str]]) -> None:
    """It locks segments and writes."""
    assert post_segment(make_segment(raw(usage_line(key))).pk, now=datetime.now(UTC))
    look = partial(sequences.note_sequences, datetime.now(UTC) + timedelta(days=1))
    assert during("billing.sequences._note", seen, look) == [set()]


def test_a_change_that_tells_valkey_later_is_neither(key: ApiKey, seen: Callable[[], set[str]]) -> None:
    change = partial(give_credit, key.organization, 1, key="more")
    with transaction.atomic():
        change(key="and more")
        assert OutboxEntry.objects.exists()
        assert seen() == set()
