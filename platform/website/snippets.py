"""Examples of the API reference as programs: curl, Python and JavaScript, with OpenAI's SDKs.

Braces of programs stay as they are: what is filled in are two names, no format.
"""

import json
from dataclasses import dataclass

from django.conf import settings

from gateway.asking.description import Example, Operation

KEY = "YOUR_API_KEY"
# What stands in examples for an id that another answer gave.
SAMPLE_ID = "THE_ID"


@dataclass(frozen=True)
class Snippets:
    curl: str
    python: str
    javascript: str
    answer: str

    @property
    def languages(self) -> list[tuple[str, str, str]]:
        return [
            ("curl", "curl", self.curl),
            ("python", "Python", self.python),
            ("javascript", "JavaScript", self.javascript),
        ]


def snippets(operation: Operation, example: Example, model: str) -> Snippets:
    return Snippets(
        curl(operation, example, model),
        f"{_python_client()}\n{_filled(example.python, model)}",
        f"{_javascript_client(example.javascript)}\n{_filled(example.javascript, model)}",
        _filled(example.answer, model),
    )


def curl(operation: Operation, example: Example, model: str) -> str:
    """One command, which runs as pasted."""
    path = _filled(operation.path, model)
    wanted = [one.name for one in operation.described.parameters if one.place == "query" and one.required]
    query = [f"{name}={model}" for name in wanted]
    lines = [f"curl {_quoted(settings.API_URL + path + ('?' + '&'.join(query) if query else ''))}"]
    if operation.method not in ("GET", "POST"):
        lines[0] = lines[0].replace("curl ", f"curl -X {operation.method} ", 1)
    elif operation.method == "POST" and not example.request and not example.form:
        lines[0] = lines[0].replace("curl ", "curl -X POST ", 1)
    lines.append(f'-H "{credential()}"')
    if example.request:
        lines += ['-H "Content-Type: application/json"', f"-d {_single(_filled(example.request, model))}"]
    lines += [f"-F {_quoted(f'{name}={_plainly(text, model)}')}" for name, text in example.form]
    if example.writes:
        lines.append(f"-o {example.writes}")
    return " \\\n  ".join(lines)


def credential() -> str:
    """The header that shows the key, of those that are accepted the first."""
    if settings.DIALECT.credential_headers[0] == "authorization":
        return f"Authorization: Bearer {KEY}"
    return f"api-key: {KEY}"


def _python_client() -> str:
    lines = [
        "from openai import OpenAI",
        "",
        "client = OpenAI(",
        f'    base_url="{settings.API_URL}",',
        f'    api_key="{KEY}",',
    ]
    if "authorization" not in settings.DIALECT.credential_headers:
        lines.append(f'    default_headers={{"api-key": "{KEY}"}},')
    return "\n".join([*lines, ")"])


def _javascript_client(program: str) -> str:
    lines = ['import fs from "node:fs";'] if "fs." in program else []
    lines += ['import OpenAI from "openai";', "", "const client = new OpenAI({"]
    lines += [f'  baseURL: "{settings.API_URL}",', f'  apiKey: "{KEY}",']
    if "authorization" not in settings.DIALECT.credential_headers:
        lines.append(f'  defaultHeaders: {{ "api-key": "{KEY}" }},')
    return "\n".join([*lines, "});"])


def _filled(text: str, model: str) -> str:
    """Inside quotes of JSON, Python or JavaScript, which escape alike."""
    return _plainly(text.strip(), json.dumps(model)[1:-1])


def _plainly(text: str, model: str) -> str:
    return text.replace("{model}", model).replace("{id}", SAMPLE_ID)


def _quoted(text: str) -> str:
    """For a shell, where it needs quotes."""
    return f'"{text}"' if any(mark in text for mark in " ?&=@") and not any(mark in text for mark in '"$`\\') else text


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def as_json(value: object) -> str:
    return json.dumps(value, indent=2)
