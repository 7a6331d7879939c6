"""Which secret a key's requests had is counted when they are posted, each once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.keys import rotate_key
from accounts.models import ApiKey
from billing import secret_use
from billing.models import SecretUse, Segment
from billing.nightly.clearing import forget_secret_use
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from billing.secret_use import Use
from tests.cast import make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db
# A whole minute within an hour, so that an hour's end isn't near.
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)


@pytest.fixture
def key(settings: Any, tmp_path: Any, empty_valkey: Any) -> ApiKey:
    storages = {**settings.STORAGES}
    storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = storages
    ensure_partitions(NOW.date())
    make_model()
    return make_key(make_organization())[0]


def post(*lines: dict[str, Any]) -> Segment:
    segment = post_segment(make_segment(raw(*lines)).pk, now=NOW + timedelta(hours=1))
    assert segment
    assert segment.quarantined == 0
    return segment


def line(key: ApiKey, secret: str, ago: timedelta, **fields: Any) -> dict[str, Any]:
    return usage_line(key, at=NOW - ago, **({"secret": secret} if secret else {}), **fields)


def test_each_secret_has_its_requests_and_its_last(key: ApiKey) -> None:
    old = key.secrets.get()
    rotate_key(key, replacing=old.public_id, overlap=timedelta(hours=1), actor=None, now=NOW)
    new = key.secrets.get(lapses_at=None)
    minute = timedelta(minutes=1)
    post(line(key, old.public_id, 3 * minute), line(key, new.public_id, minute), line(key, new.public_id, 2 * minute))
    post(line(key, new.public_id, 5 * minute), line(key, "", 4 * minute))
    assert secret_use.of_key(key, NOW) == {
        old.pk: Use(1, NOW - 3 * minute),
        new.pk: Use(3, NOW - minute),
        None: Use(1, NOW - 4 * minute),
    }
    assert SecretUse.objects.count() == 3


def test_what_comes_twice_counts_once(key: ApiKey) -> None:
    secret = key.secrets.get()
    lines = [line(key, secret.public_id, timedelta(minutes=place)) for place in range(3)]
    post(*lines)
    assert post(*lines, lines[0]).duplicate == 4
    assert secret_use.of_key(key, NOW)[secret.pk].requests == 3


def test_what_is_older_than_a_day_is_no_share_but_still_a_last_use(key: ApiKey) -> None:
    secret = key.secrets.get()
    post(line(key, secret.public_id, timedelta(hours=25)))
    assert secret_use.of_key(key, NOW) == {secret.pk: Use(0, NOW - timedelta(hours=25))}
    post(line(key, secret.public_id, timedelta(hours=23)))
    post(line(key, secret.public_id, timedelta(hours=24, minutes=40)))
    assert secret_use.of_key(key, NOW) == {secret.pk: Use(1, NOW - timedelta(hours=23))}


def test_the_last_use_of_several_keys(key: ApiKey) -> None:
    other, unused = (make_key(key.organization)[0] for _ in range(2))
    post(line(key, "", timedelta(hours=3)), line(other, other.secrets.get().public_id, timedelta(hours=2)))
    post(line(key, key.secrets.get().public_id, timedelta(minutes=1)), line(key, "", timedelta(minutes=2)))
    found = secret_use.last_used([key.pk, other.pk, unused.pk])
    assert found == {key.pk: NOW - timedelta(minutes=1), other.pk: NOW - timedelta(hours=2)}
    assert secret_use.last_used([]) == {}


class TestForgetting:
    def used(self, key: ApiKey, secret: int | None, *hours_ago: int) -> None:
        hours = [NOW.replace(minute=0) - timedelta(hours=ago) for ago in hours_ago]
        SecretUse.objects.bulk_create(
            SecretUse(api_key=key, secret_id=secret, hour=hour, events=1, last_at=hour) for hour in hours
        )

    def test_old_hours_go_and_each_secret_s_last_use_stays(self, key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(secret_use, "BATCH", 2)
        other, secret = make_key(key.organization)[0], key.secrets.get().pk
        self.used(key, secret, 1, 30, 50, 60, 70)
        self.used(key, None, 80, 90)
        self.used(other, other.secrets.get().pk, 100)
        before = {use: found.last_at for use, found in secret_use.of_key(key, NOW).items()}
        assert secret_use.forget_before(NOW - timedelta(hours=40)) == 4
        assert {use: found.last_at for use, found in secret_use.of_key(key, NOW).items()} == before
        assert SecretUse.objects.filter(api_key=key).count() == 3
        assert set(secret_use.last_used([key.pk, other.pk])) == {key.pk, other.pk}
        assert secret_use.forget_before(NOW - timedelta(hours=40)) == 0

    @pytest.mark.parametrize(("days", "left"), [(0, 3), (1, 2), (90, 3)])
    def test_the_setting_says_how_long_and_never_less_than_pages_show(
        self, key: ApiKey, settings: Any, days: int, left: int
    ) -> None:
        settings.SECRET_USE_DAYS = days
        self.used(key, key.secrets.get().pk, 2, 30, 24 * 80)
        forget_secret_use(NOW)
        assert SecretUse.objects.count() == left
