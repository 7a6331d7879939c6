"""An alarm is one row until somebody closes it, and one mail."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts.models import Alarm
from accounts.models.alarm import raise_alarm
from accounts.tasks import mail_alarm
from tests.cast import make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_the_same_trouble_again_is_counted() -> None:
    for minute in range(3):
        raise_alarm("usage_waits", "segments", f"minute {minute}", now=NOW + timedelta(minutes=minute))
    alarm = Alarm.objects.get()
    assert (alarm.count, alarm.detail, alarm.raised_at) == (3, "minute 2", NOW)


def test_a_closed_alarm_opens_again_as_another() -> None:
    raise_alarm("usage_waits", "segments", "", now=NOW)
    Alarm.objects.update(closed_at=NOW)
    raise_alarm("usage_waits", "segments", "", now=NOW)
    assert Alarm.objects.open().count() == 1
    assert Alarm.objects.count() == 2


def test_staff_get_one_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user("customer@example.com")
    make_user("staff@example.com", is_staff=True)
    sent: list[int] = []
    monkeypatch.setattr("accounts.models.alarm.enqueue.after_commit", lambda _task, pk: sent.append(pk))
    for _ in range(2):
        raise_alarm("usage_waits", "segments", "Look at the workers.", now=NOW)
    assert len(sent) == 1
    mail_alarm(sent[0])
    assert [message.to for message in mail.outbox] == [["staff@example.com"]]
    assert "Look at the workers." in mail.outbox[0].body
