"""Staff create gateways' credentials, shown once, and revoke them; each leaves an entry in the audit trail."""

import re
from datetime import UTC, datetime

import pytest
from django.test import Client

from accounts.models import AuditEntry, Organization, User
from gateway.faces.credentials import create_credential, find_credential, revoke_credential
from gateway.models import GatewayCredential
from hotstate import names
from hotstate.client import valkey
from hotstate.errors import Unreachable

NEW = "/staff/gateways/new/"
NOW = datetime.now(UTC)
SECRET = re.compile(r"km-gw-[0-9A-Za-z]{46}")


@pytest.mark.django_db
class TestCreating:
    def test_the_secret_is_shown_once_and_is_the_credential(
        self, staff_browser: Client, staff: User, organization: Organization
    ) -> None:
        sent = {"name": "edge", "sources": "edge-*\n other", "organizations": organization.public_id}
        answer = staff_browser.post(NEW, sent)
        (secret,) = set(SECRET.findall(answer.content.decode()))
        assert answer["Cache-Control"] == "no-store"
        credential = find_credential(secret)
        assert credential
        assert (credential.sources, credential.organizations) == (["edge-*", "other"], [organization.public_id])
        page = staff_browser.get("/staff/gateways/").content.decode()
        assert secret not in page
        for shown in ("edge", f"…{secret[-4:]}", "edge-*, other", organization.public_id, "never"):
            assert shown in page
        entry = AuditEntry.objects.get(action="gateway.create")
        assert (entry.actor, entry.staff, entry.target) == (staff, True, "edge")
        assert entry.after == {"sources": ["edge-*", "other"], "organizations": [organization.public_id]}
        assert secret[:20] not in str(entry.after)

    def test_sent_twice_it_is_one(self, staff_browser: Client) -> None:
        staff_browser.post(NEW, {"name": "edge"})
        again = staff_browser.post(NEW, {"name": "edge"})
        assert "There is one by this name" in again.content.decode()
        assert GatewayCredential.objects.get().organizations == []

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"name": ""}, "This field is required"),
            ({"name": "a\tb"}, "Use letters"),
            ({"sources": "*"}, "can&#x27;t be a source"),
            ({"sources": "a*b"}, "can&#x27;t be a source"),
            ({"sources": "ok-* " + "a" * 81}, "can&#x27;t be a source"),
            ({"organizations": "org_nowhere"}, "There is no organization org_nowhere"),
        ],
    )
    def test_what_is_wrong_is_said(self, staff_browser: Client, wrong: dict[str, str], complaint: str) -> None:
        answer = staff_browser.post(NEW, {"name": "edge", **wrong})
        assert complaint in answer.content.decode()
        assert not GatewayCredential.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_valkey")
class TestRevoking:
    @pytest.fixture
    def credential(self) -> GatewayCredential:
        return create_credential("edge", sources=["edge-*"], now=NOW)[0]

    def test_it_is_stored_audited_and_told_to_gateways(
        self, staff_browser: Client, staff: User, credential: GatewayCredential
    ) -> None:
        told = valkey().get(names.GATEWAYS_VERSION)
        address = f"/staff/gateways/{credential.pk}/revoke/"
        for _ in range(2):
            assert staff_browser.post(address, {"reason": "Leaked"}).status_code == 302
        credential.refresh_from_db()
        assert credential.revoked_at
        assert valkey().get(names.GATEWAYS_VERSION) != told
        entry = AuditEntry.objects.get(action="gateway.revoke")
        assert (entry.actor, entry.target, entry.reason) == (staff, "edge", "Leaked")
        assert "Revoked" in staff_browser.get("/staff/gateways/").content.decode()

    def test_it_needs_a_reason(self, staff_browser: Client, credential: GatewayCredential) -> None:
        assert "was never seen" in staff_browser.get(f"/staff/gateways/{credential.pk}/revoke/").content.decode()
        assert staff_browser.post(f"/staff/gateways/{credential.pk}/revoke/").status_code == 200
        credential.refresh_from_db()
        assert not credential.revoked_at

    def test_without_valkey_it_is_stored_and_said(
        self, staff_browser: Client, credential: GatewayCredential, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_: object = None) -> None:
            raise Unreachable("away")

        monkeypatch.setattr("hotstate.outbox.deliver", away)
        answer = staff_browser.post(f"/staff/gateways/{credential.pk}/revoke/", {"reason": "Leaked"}, follow=True)
        assert "couldn&#x27;t be told yet" in answer.content.decode()
        credential.refresh_from_db()
        assert credential.revoked_at

    def test_the_version_never_comes_again_even_if_valkey_forgot_it(self, credential: GatewayCredential) -> None:
        seen = set()
        for _ in range(3):
            revoke_credential(credential, actor=None, reason="", now=NOW)
            seen.add(valkey().getdel(names.GATEWAYS_VERSION))
        assert len(seen) == 3
