"""The Lua scripts, as text. They are given the time; amounts are written by integer commands only."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"
_PRELUDE = (_FOLDER / "prelude.lua").read_text()


def _script(name: str, *, prelude: bool = True) -> str:
    return (_PRELUDE if prelude else "") + (_FOLDER / f"{name}.lua").read_text()


DECIDE = _script("decide")
SETTLE = _script("settle")
RELEASE = _script("release")
GROW = _script("grow")
RENEW = _script("renew", prelude=False)
LAPSE = _script("lapse")
SET_ASIDE = _script("set_aside")
REGISTER = _script("register")
PUBLISH_RECORD = _script("publish_record", prelude=False)
PUBLISH_BALANCE = _script("publish_balance")
CONFIRM = _script("confirm", prelude=False)
BEGIN_ERA = _script("begin_era", prelude=False)
NOTE_ERA = _script("note_era", prelude=False)
