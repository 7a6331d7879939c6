"""Secrets are strong, recognisable, and known to nobody afterwards."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import secrets
from accounts.encryption import decrypt, encrypt
from accounts.identifiers import ALPHABET
from accounts.keys import revoke_key
from accounts.models import ApiKeySecret, AuditEntry
from config.logs import mask_secrets
from tests.cast import make_key, make_organization


def test_a_secret_has_at_least_190_bits() -> None:
    assert secrets.RANDOM_LENGTH * math.log2(len(ALPHABET)) >= 190
    assert len({secrets.generate("km-sk").text for _ in range(100)}) == 100


@pytest.mark.parametrize("prefix", ["km-sk", "hgn-sk", "sk"])
def test_its_format_is_prefix_random_checksum(prefix: str) -> None:
    secret = secrets.generate(prefix)
    assert secret.text.startswith(prefix + "-")
    assert secrets.is_well_formed(secret.text)
    assert secret.last4 == secret.text[-4:]


@given(st.integers(0, 51), st.sampled_from(ALPHABET))
def test_a_typing_error_is_noticed(position: int, character: str) -> None:
    text = secrets.generate("km-sk").text
    changed = text[:position] + character + text[position + 1 :]
    assert changed == text or not secrets.is_well_formed(changed)


@given(st.text())
def test_garbage_is_not_well_formed(text: str) -> None:
    assert not secrets.is_well_formed(text)


def test_the_text_is_not_in_its_repr() -> None:
    secret = secrets.generate("km-sk")
    assert secret.text not in repr(secret)


def test_another_pepper_gives_another_digest() -> None:
    assert secrets.digest("x", b"a" * 32) != secrets.digest("x", b"b" * 32)


@pytest.mark.django_db
def test_the_database_knows_prefix_and_last_four_only() -> None:
    key, text = make_key(make_organization())
    secret = ApiKeySecret.objects.get()
    assert secret.hint == f"km-sk-…{text[-4:]}"
    random = text.split("-")[-1][:40]
    for row in (*ApiKeySecret.objects.values_list(), *AuditEntry.objects.values_list()):
        assert random not in str(row)
    assert str(key) == f"Key ({key.public_id})"


@pytest.mark.django_db
def test_revoking_twice_is_once(empty_valkey: object) -> None:
    from datetime import UTC, datetime

    key, _ = make_key(make_organization())
    first = datetime(2026, 1, 1, tzinfo=UTC)
    revoke_key(key, actor=None, now=first)
    revoke_key(key, actor=None, now=datetime(2026, 1, 2, tzinfo=UTC))
    assert key.revoked_at == first
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1


def test_what_is_encrypted_can_be_read_again_and_looks_like_nothing() -> None:
    token = encrypt("upstream-credential")
    assert "upstream" not in token
    assert decrypt(token) == "upstream-credential"
    with pytest.raises(ValueError, match="ENCRYPTION_KEYS"):
        decrypt("gAAAAA")


def test_a_log_line_never_shows_a_secret() -> None:
    text = secrets.generate("km-sk").text
    event = mask_secrets(None, "", {"event": f"got {text}", "header": f"Bearer {text}", "number": 5})
    assert text not in str(event)
    assert "km-sk-[secret]" in event["event"]
