"""A dialect is data: what customers of another API see, without a line of code."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core import checks
from django.test import override_settings

from config.checks import SETTINGS
from config.dialect import SHIPPED, dialect
from gateway import errors
from gateway.deciding.verdicts import Verdict
from gateway.errors import ApiError, refusal
from gateway.http.spoken import in_dialect
from hotstate.records import Limits
from tests.cast import make_key, make_organization
from tests.gateway.conftest import RunningGateway, Says
from tests.gateway.scripted import ANSWER, whole

ROOT = Path(__file__).resolve().parent.parent.parent
DOC = (ROOT / "docs" / "dialects.md").read_text()
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))
CHAT = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@pytest.fixture
def speaks() -> Iterator[Callable[[str], None]]:
    """Let the running gateway speak a dialect until the test ends."""
    changed: list[override_settings] = []

    def speak(raw: str, **more: object) -> None:
        found = dialect(raw)
        changed.append(override_settings(DIALECT=found, **{"REFUSE_PLAIN_HTTP": False, **more}))
        changed[-1].enable()

    yield speak
    for one in reversed(changed):
        one.disable()


def error_of(case: str) -> ApiError:
    constant = getattr(errors, case.upper(), None)
    return constant if isinstance(constant, ApiError) else refusal(Verdict(case))


class TestFiles:
    @pytest.mark.parametrize("name", NAMES)
    def test_the_table_says_what_the_file_says(self, name: str) -> None:
        found = dialect(name)
        row = next(line for line in DOC.splitlines() if line.startswith(f"| `{name}` |"))
        _, keys, shown, below, plain, resets, model, more = cells(row)
        assert keys == f"`{found.key_prefix}-…`"
        ways = {"authorization": "Bearer", "api-key": "`api-key`"}
        assert shown == ", ".join(ways[one] for one in found.credential_headers)
        assert below == ", ".join(f"`{base or '/'}`" for base in found.base_paths)
        assert (plain, resets) == (found.plain_http, f"{found.rate_headers.reset}s")
        assert model == {"asked": "as asked", "upstream": "the upstream's"}[found.answered_model]
        extra = ["`/model/info`"] if found.extra_endpoints else []
        assert more == ", ".join(extra + [f"`{one}` in preview" for one in found.preview])

    @pytest.mark.parametrize("name", ["openai", "hicap", "hiapi", "hiveops"])
    def test_the_table_of_errors_says_what_is_said(self, name: str) -> None:
        heads = next(cells(line) for line in DOC.splitlines() if line.startswith("| case |"))
        place = heads.index(f"`{name}`")
        rows = [cells(line) for line in DOC.splitlines() if re.search(r"\| \d{3} ", line)]
        assert len(rows) >= 9
        for row in rows:
            said = in_dialect(error_of(row[0].strip("`")), dialect(name))
            assert row[place] == f"{said.status} {said.type} {said.code or '-'}", row[0]

    def test_higain_and_haimaker_say_errors_as_openai_does(self) -> None:
        assert dialect("higain").errors == dialect("haimaker").errors == dialect("openai").errors

    def test_the_documented_example_is_one(self, tmp_path: Path) -> None:
        example = re.search(r"```toml\n(.*?)```", DOC, re.DOTALL)
        assert example
        path = tmp_path / "acme.toml"
        path.write_text(example[1])
        said = in_dialect(error_of("insufficient_balance"), dialect(str(path)))
        assert (said.status, said.type, said.code) == (402, "billing_error", "payment_required")

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ('name = "A"\nkey_prefx = "a"', "key_prefx"),
            ('name = "A"\nbase_paths = ["v1"]', "base_paths"),
            ('name = "A"\nbase_paths = []', "base_paths"),
            ('name = "A"\n[errors.types]\n200 = "x"', "types"),
            ('name = "A"\n[rate_headers]\nname = "x-{what}"', "kind"),
            ('name = "A"\n[rate_headers]\nname = "x-{when}-{kind}"', "braces"),
            ('name = "A"\n[rate_headers]\nname = "x {what} {kind}"', "matching regex"),
            ("name = ", "Invalid value"),
            ("", "name"),
        ],
    )
    def test_what_is_wrong_with_a_file_is_said(self, text: str, what: str, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        with pytest.raises(ValueError, match=re.escape(what)) as caught:
            dialect(str(path))
        assert str(path) in str(caught.value)

    def test_a_name_that_isnt_shipped_lists_those_that_are(self) -> None:
        with pytest.raises(ValueError, match="haimaker, hiapi, hicap, higain, hiveops, openai"):
            dialect("opnai")

    def test_a_case_that_there_isnt_stops_the_start(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text('name = "A"\n[errors.cases]\nno_mony = { status = 402 }')
        with override_settings(DIALECT=dialect(str(path))):
            (problem,) = checks.run_checks(tags=[SETTINGS])
        assert "no_mony" in problem.msg


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip()[1:-1].split("|")]


class TestServed:
    def test_a_sixth_dialect_needs_no_code(
        self, gateway: RunningGateway, speaks: Callable[[str], None], tmp_path: Path
    ) -> None:
        path = tmp_path / "acme.toml"
        path.write_text(
            'name = "Acme"\nbase_paths = ["/api/openai/v2"]\ncredential_headers = ["api-key"]\n'
            '[rate_headers]\nname = "acme-{kind}-{what}"\nreset = "seconds"\n'
            '[errors]\ncode = "E"\n[errors.types]\n401 = "who"\n'
        )
        speaks(str(path))
        shown = {"api-key": gateway.secret}
        answer = gateway.post("/api/openai/v2/chat/completions", CHAT, secret="", headers=shown)
        assert (answer.status, answer.json["model"]) == (200, "demo-chat")
        assert gateway.post("/v1/chat/completions", CHAT, secret="", headers=shown).status == 404
        assert gateway.post("/api/openai/v2/chat/completions", CHAT).error == (401, "who", "E")

    def test_hicap_has_a_type_for_each_status(self, gateway: RunningGateway, speaks: Callable[[str], None]) -> None:
        speaks("hicap")
        assert gateway.post("/v1/chat/completions", CHAT, secret="nobody").error == (
            401,
            "authentication_error",
            "invalid_api_key",
        )
        assert gateway.post("/v1/chat/completions", {**CHAT, "model": "none"}).error[:2] == (404, "not_found_error")
        assert gateway.post("/v1/chat/completions", {**CHAT, "max_tokens": -1}).error[1] == "invalid_request_error"
        narrow, secret = make_key(make_organization(), scopes=["embeddings"])
        assert narrow
        assert gateway.post("/v1/chat/completions", CHAT, secret=secret).error == (
            403,
            "permission_error",
            "missing_scope",
        )

    def test_hiapi_has_one_type_and_empty_codes(self, gateway: RunningGateway, speaks: Callable[[str], None]) -> None:
        speaks("hiapi")
        assert gateway.post("/v1/chat/completions", CHAT, secret="nobody").error == (401, "new_api_error", "")
        assert gateway.post("/v1/nothing", CHAT).error == (404, "new_api_error", "")

    def test_hiveops_answers_without_v1_and_says_403_where_the_balance_is_spent(
        self, gateway: RunningGateway, speaks: Callable[[str], None]
    ) -> None:
        speaks("hiveops")
        assert gateway.post("/chat/completions", CHAT).status == 200
        assert [model["id"] for model in gateway.request("GET", "/models").json["data"]] == ["demo-chat"]
        info = gateway.request("GET", "/model/info?model=demo-chat")
        assert info.json == gateway.request("GET", "/v1/models/demo-chat").json
        assert gateway.request("GET", "/v1/model/info?model=demo-chat").json == info.json
        assert gateway.request("GET", "/model/info?model=other").error[0] == 404
        assert gateway.request("GET", "/model/info").error[0] == 400
        _, poor = make_key(make_organization())
        assert gateway.post("/chat/completions", CHAT, secret=poor).error == (
            403,
            "insufficient_quota",
            "credit_balance_exhausted",
        )

    def test_without_the_extra_endpoint_there_is_none(self, gateway: RunningGateway) -> None:
        assert gateway.request("GET", "/v1/model/info?model=demo-chat").error[2] == "unknown_url"

    def test_hiveops_refuses_plain_http(self, gateway: RunningGateway, speaks: Callable[..., None]) -> None:
        speaks("hiveops", REFUSE_PLAIN_HTTP=True)
        assert gateway.post("/chat/completions", CHAT).error == (403, "invalid_request_error", "https_required")
        # What a client says of itself is believed only where a proxy is in front that says it.
        https = {"X-Forwarded-Proto": "https"}
        assert gateway.post("/chat/completions", CHAT, headers=https).status == 403
        speaks("hiveops", REFUSE_PLAIN_HTTP=True, BEHIND_TLS_PROXY=True)
        assert gateway.post("/chat/completions", CHAT, headers=https).status == 200
        assert gateway.post("/chat/completions", CHAT, headers={"X-Forwarded-Proto": "http"}).status == 403

    def test_hiveops_tells_resets_as_times(self, gateway: RunningGateway, speaks: Callable[[str], None]) -> None:
        speaks("hiveops")
        assert gateway.organization
        _, secret = make_key(gateway.organization, limits=Limits(requests_per_minute=60))
        answer = gateway.post("/v1/chat/completions", CHAT, secret=secret)
        assert answer.headers["x-ratelimit-limit-requests"] == "60"
        reset = datetime.fromisoformat(answer.headers["x-ratelimit-reset-requests"])
        assert timedelta(0) < reset - datetime.now(UTC) <= timedelta(minutes=1)

    def test_haimaker_answers_with_the_upstreams_name(
        self, gateway: RunningGateway, says: Says, speaks: Callable[[str], None]
    ) -> None:
        answer = {"model": "gpt-4o-2024-08-06", **json.loads(ANSWER)}
        says(whole(json.dumps(answer).encode()))
        assert gateway.post("/v1/chat/completions", CHAT).json["model"] == "demo-chat"
        speaks("haimaker")
        assert gateway.post("/v1/chat/completions", CHAT).json["model"] == "gpt-4o-2024-08-06"
