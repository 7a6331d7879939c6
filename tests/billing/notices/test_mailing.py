"""Mails go to who wants them, once, and wait where they can't be sent."""

import smtplib
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.core import mail, signing
from django.db import connection

from accounts.models import Alarm, ApiKey, Organization, Role
from billing.models import Notice, NoticeKind, NoticeMail, Plan, PlanVersion, Subscription, SubscriptionEvent
from billing.notices import mailing, plans, stopping
from billing.notices.giving import News, give
from billing.notices.kinds import KINDS, choose, wanted
from tests.billing.notices.conftest import NOW, member
from tests.cast import DOLLAR

Delivered = Callable[[], list[tuple[str, str]]]
Kind = SubscriptionEvent.Kind


def low_balance(organization: Organization, subject: str = "1") -> int:
    facts = {"threshold_nanos": DOLLAR, "balance_nanos": 5}
    return give([News(organization.pk, NoticeKind.LOW_BALANCE, subject, facts)], now=NOW)


def broken(*_args: Any, **_kwargs: Any) -> None:
    raise smtplib.SMTPServerDisconnected("gone")


@pytest.mark.django_db
class TestWho:
    def test_every_kind_says_what_it_tells_and_whom(self) -> None:
        assert set(KINDS) == set(NoticeKind)

    @pytest.mark.parametrize(
        ("role", "kinds"),
        [
            (Role.OWNER, set(NoticeKind)),
            (Role.DEVELOPER, {NoticeKind.KEY_BUDGET, NoticeKind.KEY_EXPIRY, NoticeKind.PRICE_CHANGE}),
            (Role.VIEWER, set()),
        ],
    )
    def test_without_a_choice_the_role_says(
        self, organization: Organization, role: Role, kinds: set[NoticeKind]
    ) -> None:
        assert {kind for kind, wants in wanted(member(organization, role)).items() if wants} == kinds

    def test_a_choice_goes_before_the_role(self, organization: Organization, delivered: Delivered) -> None:
        choose(member(organization), {NoticeKind.LOW_BALANCE: False})
        choose(member(organization, Role.VIEWER), {NoticeKind.LOW_BALANCE: True})
        low_balance(organization)
        assert [who for who, _ in delivered()] == ["viewer@example.com"]

    def test_who_left_or_turned_it_off_meanwhile_gets_none(
        self, organization: Organization, delivered: Delivered
    ) -> None:
        low_balance(organization)
        choose(member(organization), {NoticeKind.LOW_BALANCE: False})
        assert delivered() == []
        low_balance(organization, "2")
        member(organization).delete()
        assert delivered() == []

    def test_a_link_ends_one_kind_for_one_person(self, organization: Organization) -> None:
        link = stopping.link(member(organization), NoticeKind.PLAN)
        who, kind = stopping.read(link.rstrip("/").rsplit("/", 1)[1])
        stopping.stop(who, kind)
        assert not wanted(member(organization))[NoticeKind.PLAN]
        assert wanted(member(organization))[NoticeKind.LOW_BALANCE]

    def test_a_link_of_somebody_elses_making_is_none(self) -> None:
        for token in ("x", signing.dumps([1, "plan"], salt="other"), signing.dumps([0, "plan"], salt=stopping.SALT)):
            with pytest.raises(stopping.BadLinkError):
                stopping.read(token)


@pytest.mark.django_db
class TestOnce:
    def test_the_same_is_noticed_once(self, organization: Organization) -> None:
        assert low_balance(organization) == 1
        assert low_balance(organization) == 0
        assert Notice.objects.count() == NoticeMail.objects.count() == 1

    def test_a_mail_that_can_not_be_sent_waits_and_goes_out_once(
        self, organization: Organization, delivered: Delivered, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        low_balance(organization)
        waiting = NoticeMail.objects.get()
        with monkeypatch.context() as patched:
            patched.setattr("django.core.mail.EmailMessage.send", broken)
            assert not mailing.send(waiting.pk, NOW)
        waiting.refresh_from_db()
        assert (waiting.sent_at, waiting.attempts) == (None, 1)
        assert mailing.unsent(NOW + timedelta(minutes=4)) == []
        assert mailing.unsent(NOW + timedelta(minutes=6)) == [waiting.pk]
        assert len(delivered()) == 1
        assert not mailing.send(waiting.pk, NOW)
        assert mailing.unsent(NOW + timedelta(days=1)) == []

    def test_one_whose_task_was_lost_is_found(self, organization: Organization) -> None:
        low_balance(organization)
        assert mailing.unsent(NOW + timedelta(seconds=59)) == []
        assert len(mailing.unsent(NOW + timedelta(seconds=61))) == 1

    def test_staff_hear_of_mail_that_keeps_failing(
        self, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        low_balance(organization)
        monkeypatch.setattr("django.core.mail.EmailMessage.send", broken)
        for _ in range(mailing.ALARMING):
            assert not Alarm.objects.exists()
            mailing.send(NoticeMail.objects.get().pk, NOW)
        assert Alarm.objects.get().kind == "mail_fails"

    def test_a_mail_has_what_mail_programs_ask_for(self, organization: Organization, delivered: Delivered) -> None:
        low_balance(organization)
        delivered()
        (message,) = mail.outbox
        headers = message.extra_headers
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert headers["List-Unsubscribe"].strip("<>") in message.body
        assert headers["Message-ID"] == f"<notice-{NoticeMail.objects.get().pk}@localhost>"
        assert "$0.000000005 when we looked" in message.body


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_one_mail(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    low_balance(organization)
    pk = NoticeMail.objects.get().pk
    together, sent, counted = Barrier(4), [], []
    monkeypatch.setattr("django.core.mail.EmailMessage.send", lambda self: counted.append(self.to))

    def work() -> None:
        together.wait(30)
        sent.append(mailing.send(pk, NOW))
        connection.close()

    crowd = [Thread(target=work) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(30)
    assert sorted(sent) == [False, False, False, True]
    assert counted == [["owner@example.com"]]


@pytest.mark.django_db
class TestPlans:
    @pytest.fixture
    def subscription(self, organization: Organization) -> Subscription:
        plan = Plan.objects.create(slug="team", name="Team", created_at=NOW)
        version = PlanVersion.objects.create(
            plan=plan, number=1, period="month", fee_nanos=20 * DOLLAR, created_at=NOW, reason=""
        )
        return Subscription.objects.create(
            organization=organization,
            version=version,
            started_at=NOW,
            anchor_day=10,
            period_starts_at=NOW,
            period_ends_at=NOW + timedelta(days=31),
            due_at=NOW + timedelta(days=31),
        )

    def happen(self, subscription: Subscription, kind: Kind, **fields: Any) -> SubscriptionEvent:
        return SubscriptionEvent.objects.create(
            subscription=subscription,
            organization=subscription.organization,
            kind=kind,
            version=subscription.version,
            number=1,
            at=NOW,
            **{"noted_at": NOW, **fields},
        )

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (Kind.RENEWED, "plan Team was renewed"),
            (Kind.PAST_DUE, "plan Team could not be renewed"),
            (Kind.ENDED, "plan Team ended"),
        ],
    )
    def test_what_happened_is_told_once(
        self, subscription: Subscription, delivered: Delivered, kind: Kind, words: str
    ) -> None:
        self.happen(subscription, kind, nanos=20 * DOLLAR)
        assert plans.tell(NOW) == 1
        assert plans.tell(NOW) == 0
        assert delivered() == [("owner@example.com", f"[Keymeter] Acme: {words}")]

    def test_what_people_did_themselves_is_not_told(self, subscription: Subscription) -> None:
        for kind in set(Kind) - set(plans.TOLD):
            self.happen(subscription, kind)
        assert plans.tell(NOW) == 0

    def test_what_is_old_is_no_news(self, subscription: Subscription) -> None:
        self.happen(subscription, Kind.RENEWED, noted_at=NOW - timedelta(days=4))
        assert plans.tell(NOW) == 0


@pytest.mark.django_db
def test_the_tasks_look_at_the_clock(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing.tasks import mail_notice, watch_for_notices

    told: list[int] = []
    low_balance(key.organization)
    monkeypatch.setattr("billing.tasks.enqueue.now", lambda _task, pk: told.append(pk))
    watch_for_notices()
    assert told == [NoticeMail.objects.get().pk]
    mail_notice(told[0])
    assert len(mail.outbox) == 1
