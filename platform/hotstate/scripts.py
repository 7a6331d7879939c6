"""The Lua scripts, as text. They are given the time; amounts are written by integer commands only."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"

DECIDE = (_FOLDER / "decide.lua").read_text()
SETTLE = (_FOLDER / "settle.lua").read_text()
RELEASE = (_FOLDER / "release.lua").read_text()
RENEW = (_FOLDER / "renew.lua").read_text()
LAPSE = (_FOLDER / "lapse.lua").read_text()
PUBLISH_RECORD = (_FOLDER / "publish_record.lua").read_text()
PUBLISH_BALANCE = (_FOLDER / "publish_balance.lua").read_text()
