"""Members choose what they are told; a mail's link ends it, also signed out."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Membership, Organization, User
from billing.models import BalanceThreshold, NoticeKind
from billing.notices import stopping
from billing.notices.kinds import wanted
from tests.cast import DOLLAR

Browse = Callable[[User], Client]


def page(organization: Organization, more: str = "") -> str:
    return f"/o/{organization.public_id}/settings/notices/{more}"


def of(user: User) -> Membership:
    return Membership.objects.get(user=user)


class TestChoices:
    def test_a_member_sees_and_changes_what_is_told(
        self, browse: Browse, owner: User, viewer: User, organization: Organization
    ) -> None:
        browser = browse(owner)
        assert browser.get(page(organization)).content.decode().count(" checked") == len(NoticeKind)
        answer = browser.post(page(organization, "kinds/"), {"kinds": ["plan"]}, follow=True)
        assert "Saved." in answer.content.decode()
        assert [kind for kind, wants in wanted(of(owner)).items() if wants] == [NoticeKind.PLAN]
        assert not any(wanted(of(viewer)).values())

    def test_what_is_no_kind_is_refused(self, browse: Browse, owner: User, organization: Organization) -> None:
        answer = browse(owner).post(page(organization, "kinds/"), {"kinds": ["everything"]})
        assert "everything is not one of the available choices" in answer.content.decode()
        assert all(wanted(of(owner)).values())


class TestAmounts:
    def test_an_owner_chooses_them(self, browse: Browse, owner: User, organization: Organization) -> None:
        browser = browse(owner)
        browser.post(page(organization, "amounts/"), {"amount_1": "5", "amount_3": "0.50"})
        assert [row.nanos for row in BalanceThreshold.objects.all()] == [5 * DOLLAR, DOLLAR // 2]
        shown = browser.get(page(organization)).content.decode()
        assert 'value="5.00"' in shown
        assert 'value="0.50"' in shown

    def test_a_wrong_one_changes_nothing(self, browse: Browse, owner: User, organization: Organization) -> None:
        answer = browse(owner).post(page(organization, "amounts/"), {"amount_1": "5", "amount_2": "much"})
        assert 'value="much"' in answer.content.decode()
        assert not BalanceThreshold.objects.exists()

    def test_a_viewer_only_looks(self, browse: Browse, viewer: User, organization: Organization) -> None:
        browser = browse(viewer)
        assert "No amount is chosen." in browser.get(page(organization)).content.decode()
        assert browser.post(page(organization, "amounts/"), {"amount_1": "5"}).status_code == 403


class TestStopping:
    def path(self, user: User) -> str:
        return "/" + stopping.link(of(user), NoticeKind.PLAN).split("/", 3)[3]

    def test_a_look_changes_nothing_and_the_button_does(
        self, client: Client, owner: User, organization: Organization
    ) -> None:
        """Programs that scan mails open links."""
        assert "Stop these mails?" in client.get(self.path(owner)).content.decode()
        assert wanted(of(owner))[NoticeKind.PLAN]
        assert "No more of these" in client.post(self.path(owner)).content.decode()
        assert not wanted(of(owner))[NoticeKind.PLAN]

    def test_mail_programs_need_no_page_before(self, owner: User, organization: Organization) -> None:
        """RFC 8058: one click, without cookies."""
        program = Client(enforce_csrf_checks=True)
        answer = program.post(self.path(owner), {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert not wanted(of(owner))[NoticeKind.PLAN]

    @pytest.mark.django_db
    def test_a_made_up_link_is_not_there(self, client: Client) -> None:
        assert client.get("/notices/stop/made-up/").status_code == 404
