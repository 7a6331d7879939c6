"""An endpoint in preview is there for the organizations that staff opened it for; for others there is nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import override_settings

from accounts import organizations
from accounts.keys import revoke_key
from accounts.models import AuditEntry
from config import env
from config.checks import settings_are_complete
from config.dialect import dialect
from gateway.checks import preview_endpoints_are_known
from hotstate.records import Limits
from tests.cast import make_key, make_organization, make_user
from tests.gateway.conftest import RunningGateway
from tests.gateway.other_gateway import OtherGateway, other

__all__ = ["other"]

BODY = {"model": "demo-chat", "input": "hello"}
NOTHING_THERE = (404, "invalid_request_error", "unknown_url")


@pytest.fixture
def gateway(gateway: RunningGateway, tmp_path: Path) -> Iterator[RunningGateway]:
    """In a dialect of its own, which has embeddings and chat in preview."""
    path = tmp_path / "acme.toml"
    path.write_text('name = "Acme"\npreview = ["embeddings", "chat.completions"]\n')
    found = dialect(str(path))
    with override_settings(DIALECT=found, PREVIEW_ENDPOINTS=list(found.preview)):
        yield gateway


def opened(gateway: RunningGateway, *previews: str) -> None:
    assert gateway.organization
    staff = make_user(f"{uuid4()}@example.com", is_staff=True)
    now = datetime.now(UTC)
    organizations.set_previews(gateway.organization, list(previews), actor=staff, reason="Asked", now=now)


class TestWhereItIsntOpen:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/v1/embeddings"),
            ("GET", "/v1/embeddings"),
            ("POST", "/v1/chat/completions"),
            ("GET", "/v1/chat/completions/chatcmpl-1"),
            ("PUT", "/v1/chat/completions/chatcmpl-1/messages"),
        ],
    )
    def test_the_answer_is_that_of_no_path(self, gateway: RunningGateway, method: str, path: str) -> None:
        refused = gateway.request(method, path, b"{}")
        nothing = gateway.request(method, "/v1/nothing", b"{}")
        assert refused.error == nothing.error == NOTHING_THERE
        assert refused.json == nothing.json
        assert refused.headers.keys() == nothing.headers.keys()
        assert (gateway.held_nanos(), gateway.written()) == (0, 0)

    def test_no_limit_is_taken_of(self, gateway: RunningGateway) -> None:
        assert gateway.organization
        _, gateway.secret = make_key(gateway.organization, limits=Limits(requests_per_minute=1))
        for _ in range(3):
            assert gateway.post("/v1/embeddings", BODY).error == NOTHING_THERE
        assert gateway.request("GET", "/v1/models").status == 200

    def test_a_key_that_doesnt_work_is_told_so(self, gateway: RunningGateway) -> None:
        assert gateway.post("/v1/embeddings", BODY, secret="wrong").error[0] == 401
        assert gateway.key
        revoke_key(gateway.key, actor=None, now=datetime.now(UTC))
        assert gateway.post("/v1/embeddings", BODY).error == (401, "invalid_request_error", "invalid_api_key")

    def test_other_endpoints_are_there(self, gateway: RunningGateway) -> None:
        assert gateway.request("GET", "/v1/models").status == 200


class TestOnceItIsOpen:
    def test_it_counts_at_once_for_that_organization_and_that_endpoint(self, gateway: RunningGateway) -> None:
        assert gateway.post("/v1/embeddings", BODY).error == NOTHING_THERE
        opened(gateway, "embeddings")
        assert gateway.post("/v1/embeddings", BODY).status == 200
        assert gateway.chat().error == NOTHING_THERE
        _, other = make_key(make_organization())
        assert gateway.post("/v1/embeddings", BODY, secret=other).error == NOTHING_THERE

    def test_it_is_closed_at_once(self, gateway: RunningGateway) -> None:
        opened(gateway, "embeddings")
        assert gateway.post("/v1/embeddings", BODY).status == 200
        opened(gateway)
        assert gateway.post("/v1/embeddings", BODY).error == NOTHING_THERE

    def test_it_is_as_any_other(self, gateway: RunningGateway) -> None:
        opened(gateway, "chat.completions")
        assert (
            gateway.openai()
            .chat.completions.create(model="demo-chat", messages=[{"role": "user", "content": "hello world"}])
            .choices
        )
        assert gateway.lines()[0]["charge_nanos"] == gateway.held_nanos() > 0
        assert gateway.request("GET", "/v1/chat/completions").error[0] == 405

    def test_it_leaves_an_entry(self, gateway: RunningGateway) -> None:
        opened(gateway, "embeddings")
        entry = AuditEntry.objects.filter(organization=gateway.organization).latest("id")
        assert (entry.action, entry.reason) == ("organization.previews", "Asked")
        assert (entry.before, entry.after) == ({"previews": []}, {"previews": ["embeddings"]})


def test_other_gateways_are_told_that_it_isnt_there(gateway: RunningGateway, other: OtherGateway) -> None:
    told = other.verify()
    assert (told.json["valid"], told.json["code"]) == (False, "model_not_found")
    opened(gateway, "chat.completions")
    assert other.verify().json["valid"]


class TestSettings:
    def test_the_setting_goes_before_the_dialect(self) -> None:
        assert dialect("hicap").preview == ("responses",)
        assert [env.words_or_none("none"), env.words_or_none("a, b")] == [[], ["a", "b"]]

    def test_a_name_that_isnt_an_endpoint_keeps_everything_from_starting(self) -> None:
        assert preview_endpoints_are_known() == []
        with override_settings(PREVIEW_ENDPOINTS=["realtime", "embeddings"]):
            (error,) = preview_endpoints_are_known()
        assert "realtime" in error.msg
        assert not any("PREVIEW" in str(one.msg) for one in settings_are_complete())
