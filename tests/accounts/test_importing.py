"""Keys of another system, imported in bulk: all of a file or nothing, each secret once, every error with its line."""

import hashlib
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts import secrets
from accounts.keys import revoke_key
from accounts.models import ApiKey, ApiKeySecret, AuditEntry, Organization
from config.key_patterns import key_patterns
from gateway.asking.endpoints import SCOPES
from hotstate import names
from hotstate.models import OutboxEntry
from hotstate.records import Budgets, Limits
from tests.cast import make_key, make_organization

pytestmark = pytest.mark.django_db
FIRST, SECOND = "sk-live-" + "a1" * 16, "sk-live-" + "b2" * 16


@pytest.fixture(autouse=True)
def _patterns(settings: Any) -> None:
    settings.IMPORTED_KEY_PATTERNS = key_patterns("sk-live-[0-9a-z]{32}")


@pytest.fixture
def organization() -> Organization:
    return make_organization()


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Run:
    """A run of the command: what it said, and whether it failed."""

    def __init__(self, organization: str, path: Path, content: str | bytes, **options: Any) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        out, err = StringIO(), StringIO()
        self.failed = ""
        try:
            call_command("import_keys", str(path), organization=organization, stdout=out, stderr=err, **options)
        except CommandError as error:
            self.failed = str(error)
        self.said, self.errors = out.getvalue(), err.getvalue().splitlines()


@pytest.fixture
def run(organization: Organization, tmp_path: Path) -> Any:
    def run(content: str | bytes, *, name: str = "keys.csv", of: str = "", **options: Any) -> Run:
        return Run(of or organization.public_id, tmp_path / name, content, **options)

    return run


def test_a_csv_becomes_keys_with_what_it_says(run: Any, organization: Organization) -> None:
    done = run(
        "name,secret,sha256,scopes,models,networks,expires_at,requests_per_minute,budget_month\n"
        f'"Acme, production",{FIRST},,chat models,acme/* demo-chat,10.0.0.0/8,2090-01-01T00:00:00Z,60,12.50\n'
        f"\nNotebook,,{sha256(SECOND).upper()},,,,,,\n"
    )
    assert (done.failed, done.errors) == ("", [])
    assert done.said == "Imported: 2 new, 0 there already, 0 bad.\n"
    first, second = ApiKey.objects.order_by("id")
    assert (first.name, first.scopes, first.organization) == ("Acme, production", ["chat", "models"], organization)
    assert (first.allowed_models, first.allowed_networks) == (["acme/*", "demo-chat"], ["10.0.0.0/8"])
    assert first.expires_at == datetime(2090, 1, 1, tzinfo=UTC)
    assert first.limits == Limits(requests_per_minute=60)
    assert first.budgets == Budgets(month=12_500_000_000)
    assert (second.scopes, second.allowed_models, second.expires_at) == (sorted(SCOPES), [], None)
    assert [key.secrets.get().hint for key in (first, second)] == ["sk-live-…a1a1", "imported"]


def test_a_secret_and_its_sha256_give_the_same_digest_as_the_gateway_computes(run: Any, tmp_path: Path) -> None:
    run(f"name,secret\na,{FIRST}\n")
    run(f"name,sha256\nb,{sha256(SECOND)}\n")
    stored = {bytes(digest) for digest in ApiKeySecret.objects.values_list("digest", flat=True)}
    assert stored == {secrets.digests(secret)[0][1] for secret in (FIRST, SECOND)}
    assert all(secrets.is_well_formed(secret) for secret in (FIRST, SECOND))


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("2199-12-31T23:59:59-23:59", datetime(2200, 1, 1, 23, 58, 59, tzinfo=UTC)),
        ("2090-01-01T00:00:00+05:30", datetime(2089, 12, 31, 18, 30, tzinfo=UTC)),
        ("2200-12-31T23:59:59-23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_an_expiry_of_any_zone_is_kept_or_told_of(run: Any, told: str, kept: datetime | None) -> None:
    done = run(f"name,secret,expires_at\na,{FIRST},{told}\n", skip_bad=True)
    assert [key.expires_at for key in ApiKey.objects.all()] == ([kept] if kept else [])
    assert len(done.errors) == (0 if kept else 1)


@pytest.mark.parametrize("name", ["keys.csv", "keys.jsonl"])
def test_the_mark_of_utf8_begins_either_kind_of_file(run: Any, name: str) -> None:
    csv, lines = f"name,secret\na,{FIRST}\n", json.dumps({"name": "a", "secret": FIRST})
    assert run("\ufeff" + (csv if name.endswith("csv") else lines), name=name).said.startswith("Imported: 1 new")


@pytest.mark.parametrize("column", ["budget_day", "requests_per_minute"])
def test_digits_of_other_scripts_are_none(run: Any, column: str) -> None:
    assert run(f"name,secret,{column}\na,{FIRST},\u0663\n").errors
    assert not ApiKey.objects.exists()


def test_more_than_a_key_can_list_is_a_bad_row(run: Any) -> None:
    networks = [f"10.0.{place}.0/24" for place in range(101)]
    row = {"name": "a", "secret": FIRST, "networks": networks}
    for name, content in (
        ("keys.jsonl", json.dumps(row)),
        ("keys.csv", f"name,secret,networks\na,{FIRST},{' '.join(networks)}\n"),
        ("keys.jsonl", json.dumps({"name": "a", "secret": FIRST, "models": networks})),
    ):
        assert "length <= 100" in run(content, name=name).errors[0]
    run(json.dumps({**row, "networks": networks[:100]}), name="keys.jsonl")
    assert len(ApiKey.objects.get().allowed_networks) == 100


def test_json_lines(run: Any) -> None:
    rows = [
        {"name": "a", "secret": FIRST, "scopes": ["chat"], "tokens_per_minute": 5, "budget_total": "0.000000001"},
        {"name": "b", "sha256": sha256(SECOND), "budget_day": 3},
    ]
    done = run("\n\n".join(json.dumps(row) for row in rows), name="keys.jsonl")
    assert done.said.startswith("Imported: 2 new")
    assert [key.budgets for key in ApiKey.objects.order_by("id")] == [Budgets(total=1), Budgets(day=3 * 10**9)]


def test_run_again_it_does_nothing(run: Any) -> None:
    content = f"name,secret\na,{FIRST}\nb,{SECOND}\n"
    run(content)
    again = run(content)
    assert again.said == "Imported: 0 new, 2 there already, 0 bad.\n"
    assert ApiKey.objects.count() == 2
    assert AuditEntry.objects.filter(action="keys.import").count() == 1


def test_a_revoked_key_stays_revoked(run: Any, empty_valkey: Any) -> None:
    run(f"name,secret\na,{FIRST}\n")
    revoke_key(ApiKey.objects.get(), actor=None, now=datetime.now(UTC))
    assert "1 there already" in run(f"name,sha256\na,{sha256(FIRST)}\n").said
    assert ApiKey.objects.get().revoked_at


def test_one_that_was_stored_with_an_older_pepper_is_there_already(run: Any, settings: Any) -> None:
    run(f"name,secret\na,{FIRST}\n")
    settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, max(settings.KEY_PEPPERS) + 1: b"n" * 32}
    assert "1 there already" in run(f"name,sha256\na,{sha256(FIRST)}\n").said


def test_it_is_in_the_audit_trail_without_a_secret(run: Any, organization: Organization) -> None:
    content = f"name,secret\na,{FIRST}\n"
    run(content)
    entry = AuditEntry.objects.get(action="keys.import")
    assert (entry.organization, entry.target) == (organization, organization.public_id)
    assert entry.after == {"created": 1, "present": 0, "left_out": 0, "file": "keys.csv", "sha256": sha256(content)}


WRONG = [
    (f"a,{FIRST},{sha256(FIRST)},,", "Give `secret` or `sha256`"),
    ("a,,,,", "Give `secret` or `sha256`"),
    (f",{FIRST},,,", "missing required field `name`"),
    (f"{'n' * 81},{FIRST},,,", "length <= 80"),
    (f"a\x07b,{FIRST},,,", "can't be shown"),
    ("a,sk-live-short,,,", "IMPORTED_KEY_PATTERNS has no pattern that fits"),
    ("a,,abc,,", "64 hexadecimal digits"),
    (f"a,{FIRST},,2020-01-01T00:00:00Z,", "is past"),
    (f"a,{FIRST},,2090-01-01T00:00:00,", "timezone"),
    (f"a,{FIRST},,tomorrow,", "RFC3339"),
    (f"a,{FIRST},,,0", "Expected `int` >= 1"),
    (f"a,{FIRST},,,many", "Expected `int"),
    (f"a,{FIRST}", "It has 2 columns, the header 5"),
]


@pytest.mark.parametrize(("row", "complaint"), WRONG)
def test_what_is_wrong_with_a_row_is_said_and_nothing_is_stored(run: Any, row: str, complaint: str) -> None:
    done = run(f"name,secret,sha256,expires_at,requests_per_minute\ngood,{SECOND},,,\n{row}\n")
    (error,) = done.errors
    assert error.startswith("line 3: ")
    assert complaint in error
    assert FIRST not in error
    assert done.failed.startswith("Nothing was stored: 1 new, 0 there already, 1 bad. Correct them, or ")
    assert not ApiKey.objects.exists()
    assert not OutboxEntry.objects.filter(kind="key").exists()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"scopes": ["everything"]}, "There is no scope 'everything'"),
        ({"scopes": []}, "`scopes` is empty"),
        ({"models": ["a b"]}, "no model id or pattern"),
        ({"networks": ["10.0.0.0/99"]}, "neither an address nor a network"),
        ({"budget_day": "1,5"}, "dollars such as"),
        ({"budget_day": 0}, "dollars such as"),
        ({"budget_day": 1.5}, "$.budget_day"),
        ({"budget_day": "9000001"}, "dollars such as"),
        ({"limit": 5}, "unknown field `limit`"),
        ({"name": "a\ud800b"}, "no JSON object"),
    ],
)
def test_what_is_wrong_with_a_json_line_is_said(run: Any, fields: dict[str, Any], complaint: str) -> None:
    done = run("\n" + json.dumps({"name": "a", "secret": FIRST, **fields}), name="keys.jsonl")
    (error,) = done.errors
    assert error.startswith("line 2: ")
    assert complaint in error


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff\xfe", b'{"name": "a\xff"}', b"[" * 10_000])
def test_a_line_of_garbage_is_a_bad_row(run: Any, line: bytes) -> None:
    assert run(line, name="keys.jsonl").errors[0].startswith("line 1: ")


def test_every_bad_row_is_told_and_skipping_them_stores_the_others(run: Any) -> None:
    content = f"name,secret\na,nonsense\nb,{FIRST}\n\nc,{FIRST}\n\xff,{SECOND}\n".encode("latin-1")
    tried = run(content)
    assert [error.partition(":")[0] for error in tried.errors] == ["line 2", "line 5", "line 6"]
    assert "same secret as line 3" in tried.errors[1]
    done = run(content, skip_bad=True)
    assert done.said == "Imported: 1 new, 0 there already, 3 bad.\n"
    assert ApiKey.objects.get().name == "b"
    assert AuditEntry.objects.get(action="keys.import").after["left_out"] == 3


def test_a_dry_run_says_the_same_and_stores_nothing(run: Any) -> None:
    dry = run(f"name,secret\na,{FIRST}\n", dry_run=True)
    assert dry.said == "Dry run, nothing was stored: 1 new, 0 there already, 0 bad.\n"
    assert run("name,secret\na,nonsense\n", dry_run=True).failed
    assert not ApiKey.objects.exists()
    assert not AuditEntry.objects.filter(action="keys.import").exists()


def test_a_secret_of_another_organization_is_refused(run: Any) -> None:
    other = make_organization("Other")
    run(f"name,secret\na,{FIRST}\n", of=other.public_id)
    done = run(f"name,secret\na,{FIRST}\n")
    assert done.errors == ["line 2: This secret is a key of another organization: leave it out."]


def test_a_digest_that_no_pattern_could_let_in_is_refused(run: Any, settings: Any) -> None:
    settings.IMPORTED_KEY_PATTERNS = ()
    assert "IMPORTED_KEY_PATTERNS has no patterns" in run(f"name,sha256\na,{sha256(FIRST)}\n").errors[0]


def test_our_own_secrets_need_no_pattern(run: Any, settings: Any) -> None:
    settings.IMPORTED_KEY_PATTERNS = ()
    text = secrets.generate("hgn-sk").text
    assert "1 new" in run(f"name,secret\na,{text}\n").said
    assert ApiKeySecret.objects.get().hint == f"hgn-sk-…{text[-4:]}"


@pytest.mark.parametrize(
    ("content", "name", "complaint"),
    [
        ("", "keys.csv", "The first line has to name the columns"),
        ("name,secret,colour\n", "keys.csv", "These are none, or twice: 'colour'"),
        ("name,name\n", "keys.csv", "each once"),
        ('name,secret\n"a,b\n', "keys.csv", "is no CSV"),
        ('{"name": "' + "a" * 70_000 + '"}', "keys.jsonl", "longer than 65536 bytes"),
        ("", "keys.txt", "has to end in one of"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(run: Any, content: str, name: str, complaint: str) -> None:
    done = run(content, name=name)
    assert complaint in done.failed
    assert not done.said


def test_an_organization_or_file_that_does_not_exist_is_said(run: Any, organization: Organization) -> None:
    assert "There is no such organization" in run("name\n", of="org_nobody").failed
    with pytest.raises(CommandError, match="can't be read"):
        call_command("import_keys", "/nowhere/keys.csv", organization=organization.public_id)


def test_many_cost_few_queries(run: Any, django_assert_max_num_queries: Any) -> None:
    rows = "".join(f"key {number},sk-live-{number:032}\n" for number in range(2_500))
    # Of which 50 are for the gateways: so many records are told at a time.
    with django_assert_max_num_queries(70):
        assert run("name,secret\n" + rows).said.startswith("Imported: 2500 new")
    assert ApiKeySecret.objects.count() == 2_500


@pytest.mark.django_db(transaction=True)
def test_they_are_at_the_gateways_after_the_commit(run: Any, empty_valkey: Any) -> None:
    run(f"name,secret\na,{FIRST}\n")
    key = ApiKey.objects.get()
    digest = secrets.digests(FIRST)[0][1].hex()
    assert empty_valkey.get(names.digest_index(digest)).decode() == f"{key.organization.public_id} {key.public_id}"


def test_a_key_made_here_shows_what_it_showed(organization: Organization) -> None:
    key, text = make_key(organization)
    assert key.secrets.get().hint == f"km-sk-…{text[-4:]}"
