"""The API reference says what this installation does: its dialect, its endpoints, its models and prices."""

from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client, override_settings

from accounts.models import Organization, User
from billing.tariff import UnitPrice
from config.dialect import SHIPPED, dialect
from gateway.asking.endpoints import BY_NAME
from gateway.deciding import rate_headers
from tests.cast import make_model
from website.reference import RESETS, base_urls, told_errors

pytestmark = pytest.mark.django_db
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


def page(client: Client, name: str = "openai", **more: object) -> str:
    spoken = dialect(name)
    changed = {"KEY_PREFIX": spoken.key_prefix, "REFUSE_PLAIN_HTTP": spoken.plain_http == "refused", **more}
    with override_settings(DIALECT=spoken, **changed):
        answer = client.get("/docs/")
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_it_has_every_endpoint_with_an_anchor_and_its_scope(client: Client) -> None:
    text = page(client)
    for one in BY_NAME.values():
        anchor = one.name.replace(".", "-")
        assert f'href="#{anchor}"' in text
        assert text.count(f'id="{anchor}"') == 1
        assert f"POST {one.path}" in text
    ids = [part.partition('"')[0] for part in text.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_the_dialect_says(client: Client, name: str) -> None:
    text, spoken = page(client, name, API_URL="https://api.example.com/v1"), dialect(name)
    assert f"<code>{spoken.key_prefix}-</code>" in text
    assert ("api-key: YOUR_API_KEY" in text) == ("api-key" in spoken.credential_headers)
    assert ("Plain HTTP is refused" in text) == (spoken.plain_http == "refused")
    assert ("the model’s provider has for it" in text) == (spoken.answered_model == "upstream")
    assert ("/model/info?model=" in text) == ("model_info" in spoken.extra_endpoints)
    assert ("https://api.example.com\n" in text) == ("" in spoken.base_paths)
    assert spoken.rate_headers.named("reset", "tokens") in text
    for said, _ in told_errors(spoken):
        assert f">{said.type}<" in text


def test_errors_are_as_the_dialect_says_them_and_each_has_words() -> None:
    told = {(said.status, said.type, said.code) for said, _ in told_errors(dialect("hicap"))}
    assert (403, "permission_error", "missing_scope") in told
    assert (503, "overloaded_error", "model_overloaded") in told
    assert (403, "insufficient_quota", "credit_balance_exhausted") in {
        (said.status, said.type, said.code) for said, _ in told_errors(dialect("hiveops"))
    }
    assert not {code for _, _, code in told} & {"invalid_gateway_credential", "https_required"}
    with override_settings(REFUSE_PLAIN_HTTP=True):
        assert "https_required" in {said.code for said, _ in told_errors(dialect("openai"))}


def test_the_bases_are_those_below_which_the_dialect_answers() -> None:
    assert base_urls("https://a.test/v1", dialect("hiveops")) == ["https://a.test/v1", "https://a.test"]
    assert base_urls("https://a.test", dialect("hiveops")) == ["https://a.test", "https://a.test/v1"]
    assert base_urls("https://a.test/other", dialect("higain")) == ["https://a.test/other"]


def test_resets_are_shown_as_they_are_sent() -> None:
    assert set(RESETS) == set(rate_headers.RESETS)
    shown, sent = RESETS["timestamp"][1], rate_headers.timestamp(1)
    assert [mark if not mark.isdigit() else "9" for mark in shown] == [
        mark if not mark.isdigit() else "9" for mark in sent
    ]


def test_models_and_prices_stand_with_what_they_serve(client: Client) -> None:
    make_model("lab/speaker", families=["speech"], prices=[UnitPrice("characters", 15 * 10**9, 10**6)])
    for number in range(10):
        make_model(f"chat-{number}", families=["chat"])
    text = page(client)
    speech = text[text.index('id="audio-speech"') : text.index('id="moderations"')]
    assert 'href="/models/lab/speaker"' in speech
    assert "$15.00" in speech
    assert '"model": "lab/speaker"' in speech
    assert "/models/?family=chat" in text
    assert "No model for it is for sale yet" in text[text.index('id="rerank"') :]


def test_a_strange_model_id_breaks_no_example(client: Client) -> None:
    make_model("odd\"'</pre><script>", families=["chat"])
    raw = client.get("/docs/").content.decode()
    assert "</pre><script>" not in raw
    assert '"model": "odd\\"\'\\\'\'</pre>' in unescape(raw)


def test_it_is_linked_from_public_pages_the_console_and_snippets(
    client: Client, browse: Callable[[User], Client], owner: User, organization: Organization
) -> None:
    assert client.get("/").content.decode().count('href="/docs/"') >= 3
    assert 'href="/docs/"' in browse(owner).get(f"/o/{organization.public_id}/").content.decode()
    assert f"/o/{organization.public_id}/keys/" in browse(owner).get("/docs/").content.decode()
