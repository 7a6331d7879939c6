"""Every example of the API reference is run as it stands on the page, in each language, and answered as shown."""

import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stdout
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from msgspec.structs import replace

from billing.tariff import UnitPrice
from catalog.models import Model
from config.dialect import Dialect, dialect
from devstack.management.commands.demo import CATALOGUE
from gateway.asking.description import Example, Operation, described, operations
from hotstate.records import Budgets, Limits
from tests.cast import DOLLAR, make_key, make_model
from tests.gateway.conftest import RunningGateway, announce
from tests.openai_js import JavaScript, javascript_sdk
from website.snippets import KEY, SAMPLE_ID

__all__ = ["javascript_sdk"]

EVERYTHING = replace(dialect("openai"), extra_endpoints=("model_info",))
OPERATIONS = {one.name: one for one in operations(EVERYTHING)}
EXAMPLES = [
    pytest.param(name, place, id=f"{name}-{place}")
    for name, one in OPERATIONS.items()
    for place, _ in enumerate(one.described.examples)
]
SCOPES = sorted({one.scope for one in OPERATIONS.values()} - {""})
Page = dict[str, str]
# Drawn once for a gateway and what it speaks.
_pages: dict[tuple[str, str], Page] = {}


@pytest.fixture
def secret(gateway: RunningGateway) -> str:
    """A key that may do everything, with limits and a budget, where each kind of model is for sale."""
    for public_id, _, _, families, window, output, prices in CATALOGUE:
        if not Model.objects.filter(public_id=public_id).exists():
            units = [UnitPrice(meter, nanos, per) for meter, (nanos, per) in prices.items()]
            limits = {"context_window": window, "max_output_tokens": output}
            make_model(public_id, prices=units, families=families, **limits)
    Model.objects.filter(public_id__in=[row[0] for row in CATALOGUE]).update(enabled=True)
    announce()
    assert gateway.organization
    limits, budgets = Limits(requests_per_minute=600), Budgets(month=DOLLAR)
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=SCOPES, limits=limits, budgets=budgets)
    return gateway.secret


@pytest.fixture
def page(secret: str, gateway: RunningGateway) -> Iterator[Page]:
    """The texts on the page by their ids, for this gateway, which speaks so."""
    with override_settings(DIALECT=EVERYTHING):
        yield shown(gateway, EVERYTHING)


def shown(gateway: RunningGateway, spoken: Dialect) -> Page:
    address = f"http://127.0.0.1:{gateway.port}/v1"
    asked = (address, repr(spoken))
    if asked not in _pages:
        with override_settings(API_URL=address, DIALECT=spoken):
            html = Client().get("/docs/").content.decode()
        found = re.findall(r'<pre id="([^"]+)" tabindex="0">(.*?)</pre>', html, re.DOTALL)
        _pages[asked] = {anchor: unescape(text) for anchor, text in found}
    return _pages[asked]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where programs are run: the files that examples send lie there."""
    (tmp_path / "otter.png").write_bytes(b"a picture")
    (tmp_path / "speech.mp3").write_bytes(b"The stale smell of old beer lingers.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Variations are deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "place"), EXAMPLES)
def test_an_example_runs_in_each_language_and_is_answered_as_shown(
    name: str, place: int, gateway: RunningGateway, page: Page, secret: str, folder: Path, javascript_sdk: JavaScript
) -> None:
    operation, example = OPERATIONS[name], OPERATIONS[name].described.examples[place]
    anchor = f"{operation.anchor}-{place + 1}"
    put = {KEY: secret, SAMPLE_ID: made_before(example, page, secret, folder)}
    answered = run_curl(filled(page[f"{anchor}-curl"], put), folder)
    expected = printed(answered, example, folder)
    if example.answer:
        assert_alike(answered, filled(page[f"{anchor}-answer"], put), example, operation)
    for language in ("python", "javascript"):
        if example.writes:
            (folder / example.writes).unlink()
        put[SAMPLE_ID] = made_before(example, page, secret, folder)
        program = filled(page[f"{anchor}-{language}"], put)
        said = run_python(program) if language == "python" else javascript_sdk.run(program, folder)
        assert (written(example, folder) if example.writes else said) == expected, language
    if operation.family:
        assert_charged_alike(operation, gateway)
    else:
        # What is made after its request was answered has its line when it has ended.
        gateway.lines(3 if example.after else 0)


def made_before(example: Example, page: Page, secret: str, folder: Path) -> str:
    """The id that another endpoint's example makes."""
    if not example.after:
        return ""
    name, _, place = example.after.partition("/")
    before = page[f"{OPERATIONS[name].anchor}-{place}-curl"]
    return str(json.loads(run_curl(filled(before, {KEY: secret}), folder))["id"])


def filled(text: str, put: dict[str, str]) -> str:
    for name, value in put.items():
        text = text.replace(name, value)
    return text


def run_curl(command: str, folder: Path) -> str:
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "curl"
    done = subprocess.run([*words, "-sS", "--fail-with-body"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_python(program: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(program, "example", "exec"), {})
    return out.getvalue().strip()


def printed(answered: str, example: Example, folder: Path) -> str:
    """What the other languages print or write."""
    if example.writes:
        return written(example, folder)
    if not example.prints:
        return ""
    parts = events(answered) if example.is_stream else [json.loads(answered)]
    return "".join(str(found) for part in parts if (found := led_to(part, example.prints)) is not None).strip()


def written(example: Example, folder: Path) -> str:
    return (folder / example.writes).read_bytes().hex()


def led_to(value: Any, way: str) -> Any:
    for step in way.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = (value or {}).get(step)
    return value


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def assert_alike(answered: str, shown: str, example: Example, operation: Operation) -> None:
    """The same members of the same kinds."""
    if not example.is_stream:
        assert shape(json.loads(answered)) == shape(json.loads(shown))
        return
    assert ("data: [DONE]" in answered) == ("data: [DONE]" in shown)
    assert {repr(shape(one)) for one in events(shown)} <= {repr(shape(one)) for one in events(answered)}


def shape(value: Any) -> Any:
    """Of a list the first stands for all."""
    if isinstance(value, dict):
        return {name: shape(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def assert_charged_alike(operation: Operation, gateway: RunningGateway) -> None:
    """One line for each language, which cost the same."""
    lines = gateway.lines(3)
    assert {one["endpoint"] for one in lines} == {operation.name}
    assert len({json.dumps([one["usage"], one["charge_nanos"]]) for one in lines}) == 1
    assert lines[0]["usage"]["requests"] == 1


def test_where_only_the_other_header_is_accepted_the_examples_show_that_one(
    gateway: RunningGateway, secret: str, folder: Path, javascript_sdk: JavaScript
) -> None:
    spoken = replace(EVERYTHING, credential_headers=("api-key",))
    texts = shown(gateway, spoken)
    with override_settings(DIALECT=spoken):
        programs = {name: filled(texts[f"key-1-{name}"], {KEY: secret}) for name in ("curl", "python", "javascript")}
        assert "api-key: " in programs["curl"]
        said = json.loads(run_curl(programs["curl"], folder))["organization"]
        assert run_python(programs["python"]) == javascript_sdk.run(programs["javascript"], folder) == said


@pytest.mark.parametrize("operation", [one for one in OPERATIONS.values() if one.family], ids=lambda one: one.name)
def test_what_is_said_to_be_checked_is_refused_with_the_parameters_name(
    operation: Operation, gateway: RunningGateway, page: Page, secret: str, folder: Path
) -> None:
    for parameter in operation.described.parameters:
        if not parameter.checked:
            continue
        for wrong in wrong_values(parameter):
            refused = changed(page[f"{operation.anchor}-1-curl"].replace(KEY, secret), parameter.name, wrong)
            done = subprocess.run([*refused, "-sS"], cwd=folder, capture_output=True, text=True, check=True)
            error = json.loads(done.stdout)["error"]
            assert (error["param"], error["type"]) == (parameter.name, "invalid_request_error"), (parameter.name, wrong)
    assert gateway.written() == 0


def wrong_values(parameter: Any) -> list[Any]:
    """None is leaving it out."""
    beyond = [edge + there for edge, there in ((parameter.least, -1), (parameter.most, 1)) if edge is not None]
    missing = [None] if parameter.required else []
    other = {"boolean": ["yes"], "string": [7] if not parameter.choices else ["nonsense"], "array": [[]]}
    return [*beyond, *missing, *other.get(parameter.type, [])]


def changed(command: str, name: str, wrong: Any) -> list[str]:
    """The command with another value of one parameter."""
    words = shlex.split(command.replace("\\\n", " "))
    if "-o" in words:
        words = words[: words.index("-o")]
    if "-d" not in words:
        kept = [place for place, word in enumerate(words) if word == "-F" and words[place + 1].startswith(f"{name}=")]
        for place in reversed(kept):
            del words[place : place + 2]
        return words if wrong is None else [*words, "-F", f"{name}={wrong}"]
    place = words.index("-d") + 1
    body = {**json.loads(words[place]), name: wrong}
    if wrong is None:
        del body[name]
    words[place] = json.dumps(body)
    return words


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_endpoint_is_described(name: str) -> None:
    """`described` says which file lacks, and where one is wrong."""
    told = described(name)
    assert all(one.writes or (one.answer and (one.prints or name.endswith(".delete"))) for one in told.examples)
    for example in told.examples:
        compile(example.python, name, "exec")
        if example.request:
            sent = json.loads(example.request)
            assert set(sent) <= {one.name for one in told.parameters}
            assert {one.name for one in told.parameters if one.required and one.place == "body"} <= set(sent)
