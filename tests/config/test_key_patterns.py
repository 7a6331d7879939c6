"""IMPORTED_KEY_PATTERNS lets in what it names, and nothing that lets in everything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.key_patterns import key_patterns
from config.logs import hide_secrets_like, mask_secrets

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("pattern", "fits", "doesnt"),
    [
        ("sk-proj-[A-Za-z0-9_-]{48}", "sk-proj-" + "a_-9" * 12, "sk-proj-" + "a_-9" * 13),
        ("[0-9a-f]{32}", "0123456789abcdef" * 2, "0123456789abcdeg" * 2),
        ("hf_[A-Za-z]{30,40}", "hf_" + "x" * 40, "hf_" + "x" * 29),
        (r"v1\.[0-9a-f]{16}\.[A-Z0-9]{20}", "v1." + "0" * 16 + "." + "A" * 20, "v1x" + "0" * 16 + "." + "A" * 20),
    ],
)
def test_it_lets_in_what_it_says_from_end_to_end(pattern: str, fits: str, doesnt: str) -> None:
    (read,) = key_patterns(pattern)
    assert read.expression.fullmatch(fits)
    for other in (doesnt, "x" + fits, fits + "x", fits + "\n", ""):
        assert not read.expression.fullmatch(other)


def test_several_stand_between_spaces_and_none_is_none() -> None:
    read = key_patterns(" sk-[a-z]{20}  pk_live_[A-Za-z0-9]{24}[A-Z]{2} ")
    assert [pattern.literal for pattern in read] == ["sk-", "pk_live_"]
    assert key_patterns("  ") == ()


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        (".*", "no part of a pattern"),
        ("sk-.+", "no part of a pattern"),
        ("[^x]{40}", "no part of a pattern"),
        (r"\w{40}", "no part of a pattern"),
        ("(a|b)[a-z]{40}", "no part of a pattern"),
        ("[a-z]*", "no part of a pattern"),
        ("[a-z]", "no part of a pattern"),
        ("[a-z]{20,}", "no part of a pattern"),
        ("sk-[z-a]{40}", "no set of characters"),
        ("sk-[+-9]{40}", "characters that no key may have"),
        ("sk-[a-z]{40,20}", "counts backwards"),
        ("sk-[a-z]{300}", "200 are the most"),
        ("sk-[a-z]{99999999999999999999}", "200 are the most"),
        ("sk-[0-9]{16}", "could be guessed"),
        ("sk-secret", "could be guessed"),
        ("sk-[a-z]{0,90}", "could be guessed"),
        ("sk-[a-z]{20,30}[0-9]{1,30}", "more than one set of varying length"),
        ("[A-Za-z0-9]{32,64}", "matches too much"),
    ],
)
def test_what_is_unsound_or_lets_in_too_much_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        key_patterns(f"ok-[a-z]{{30}} {pattern}")


def test_the_system_check_names_a_bad_one() -> None:
    environment = {**os.environ, "IMPORTED_KEY_PATTERNS": "sk-.*"}
    command = [sys.executable, "manage.py", "check"]
    checked = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode != 0
    assert "keymeter.E001" in checked.stderr
    assert "IMPORTED_KEY_PATTERNS cannot be read: in 'sk-.*'" in checked.stderr


def test_a_log_line_never_shows_an_imported_secret() -> None:
    hide_secrets_like(pattern.expression for pattern in key_patterns("live_[0-9a-f]{32}"))
    try:
        event = mask_secrets(None, "", {"event": "got live_" + "0f" * 16 + " twice"})
    finally:
        hide_secrets_like([])
    assert event["event"] == "got [secret] twice"
