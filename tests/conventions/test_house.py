"""The house rules, asserted over the source itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PLATFORM = ROOT / "platform"
ROOMS = {
    "config": PLATFORM / "config",
    "hotstate": PLATFORM / "hotstate",
    "catalog": PLATFORM / "catalog",
    "gateway": PLATFORM / "gateway",
    "api": PLATFORM / "api",
    "website": PLATFORM / "website",
    "devstack": PLATFORM / "devstack",
    "accounts": ROOT / "accounts",
    "billing": ROOT / "billing",
}
# Who may know whom. `config` is what runs them all, and knows settings, not rooms.
MAY_KNOW = {
    "hotstate": set(),
    "accounts": {"hotstate"},
    "catalog": {"hotstate", "accounts"},
    "billing": {"hotstate", "accounts", "catalog"},
    "gateway": {"hotstate", "accounts", "catalog", "billing"},
    "api": {"hotstate", "accounts", "catalog", "billing", "gateway"},
    "website": {"hotstate", "accounts", "catalog", "billing", "gateway"},
    "devstack": {"hotstate", "accounts", "catalog", "billing", "gateway", "api", "website"},
    "config": set(),
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic"}


def sources(room: str) -> Iterator[Path]:
    return (path for path in ROOMS[room].rglob("*.py") if "migrations" not in path.parts)


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_those_below_it(room: str) -> None:
    strangers = set(ROOMS) - MAY_KNOW[room] - {room, "config"}
    offenders = {str(path): found for path in sources(room) if (found := imported(path) & strangers)}
    # The entry points check the settings before anything else.
    assert offenders == {}


def test_rating_is_pure() -> None:
    """No ORM, no clock, no I/O: gateway and worker compute the same charge."""
    plain = {"bisect", "collections", "dataclasses", "datetime", "decimal", "itertools", "math", "typing"}
    pure = ("rating", "tariff", "off_peak", "pricing", "meters")
    for name in pure:
        path = ROOT / "billing" / f"{name}.py"
        assert imported(path) <= {"billing", *plain}
        own = {word for line in path.read_text().splitlines() for word in line.split()[1:2] if "billing." in word}
        assert own <= {f"billing.{one}" for one in pure}


def test_platform_is_a_folder_and_not_a_package() -> None:
    assert not (PLATFORM / "__init__.py").exists()
    command = "import platform, uuid, celery, stripe; print(platform.__file__)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip().endswith("platform.py")


def test_no_package_has_the_name_of_a_standard_module() -> None:
    assert not {*ROOMS, "tests"} & sys.stdlib_module_names


def test_tests_mirror_import_names_and_are_no_packages() -> None:
    assert not (ROOT / "tests" / "platform").exists()
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_money_never_meets_a_float() -> None:
    """No float literal, no float() and no true division in what computes or shows money."""
    website = PLATFORM / "website"
    shown = [
        website / name
        for name in (
            "money.py",
            "receipt.py",
            "spending.py",
            "statements.py",
            "statement_pdf.py",
            "templatetags/keymeter.py",
        )
    ]
    for path in [*sources("billing"), *shown]:
        if path.name == "tasks.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
            assert not (isinstance(node, ast.Name) and node.id == "float"), where
            # A UUID's milliseconds become a time by division; nothing else does.
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                assert "id.int >> 80" in ast.unparse(node.left), where


def test_domain_code_is_given_the_time() -> None:
    """`now` is an argument; only tasks, commands, views, hooks of the framework and time-outs look at a clock."""
    no_clocks = {"enqueue"}  # `enqueue.now(task)` sends a task
    for room in ("hotstate", "accounts", "catalog", "billing"):
        for path in sources(room):
            framework = path.name in {"tasks.py", "apps.py", "pipelining.py"} or path.name.endswith("admin.py")
            if framework or "management" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    asked = ast.unparse(node.func.value)
                    assert node.func.attr not in CLOCKS or asked in no_clocks, f"{path}:{node.lineno}"


def test_only_the_ledger_writes_balances() -> None:
    for path in (*sources("billing"), *sources("website"), *sources("api"), *sources("gateway")):
        if path.name == "ledger.py":
            continue
        text = path.read_text()
        assert not re.search(r"UPDATE billing_balance\b", text), path
        for word in ("Balance.objects.create", "Balance.objects.update", "Balance.objects.bulk"):
            assert word not in text, path


def test_there_is_no_room_for_odds_and_ends() -> None:
    forbidden = {"services.py", "utils.py", "helpers.py", "selectors.py", "misc.py", "common.py"}
    assert not [path for room in ROOMS for path in sources(room) if path.name in forbidden]


def test_pages_have_no_inline_script_or_style() -> None:
    for template in (ROOT / "templates").rglob("*.html"):
        text = template.read_text()
        assert "style=" not in text, template
        assert "<style" not in text, template
        for script in re.findall(r"<script\b[^>]*>", text):
            # Data, as `json_script` writes it, isn't run.
            assert " src=" in script or 'type="application/json"' in script, f"{template}: {script}"
        for handler in ("onclick=", "onload=", "onchange=", "onsubmit=", "javascript:"):
            assert handler not in text, f"{template}: {handler}"


def test_stripe_events_are_never_read_unverified() -> None:
    for room in ROOMS:
        for path in sources(room):
            assert "construct_event_without_verification" not in path.read_text(), path


def test_requirements_are_pinned_with_hashes_and_name_no_host() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text, path
        assert "index-url" not in text, path
