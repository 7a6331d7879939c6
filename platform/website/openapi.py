"""The API reference as an OpenAPI 3.1 document: made from the same, for programs that read programs' interfaces."""

import json
import mimetypes
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.conf import settings

from gateway.asking.description import NO_LIMIT, Example, Operation, Parameter, operations
from website.reference import HEADERS, base_urls, in_preview, told_errors
from website.snippets import SAMPLE_ID

Json = dict[str, Any]

BEARER: Json = {"type": "http", "scheme": "bearer"}
SCHEMES: dict[str, Json] = {
    "authorization": BEARER,
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
PREVIEW = " In preview: it may change, and is there only for organizations for which it was opened."
# A model may refuse a request with a status of its own.
ANY_REFUSAL = "4XX"


def document() -> Json:
    """For this installation's dialect, with its addresses."""
    dialect = settings.DIALECT
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{settings.PRODUCT_NAME} API",
            "version": "1",
            "description": "Compatible with OpenAI's API.",
        },
        "servers": [{"url": url} for url in base_urls(settings.API_URL, dialect)],
        "externalDocs": {"url": f"{settings.CONSOLE_URL}/docs/", "description": "The same for people, with prices."},
        "security": [{name: []} for name in dialect.credential_headers],
        "paths": _paths(operations(dialect)),
        "components": {
            "securitySchemes": {name: SCHEMES[name] for name in dialect.credential_headers},
            "schemas": {"Error": _error_schema()},
            "headers": _headers(),
            "responses": _error_responses(),
        },
    }


def _paths(told: Iterable[Operation]) -> Json:
    paths: Json = {}
    for operation in told:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return paths


def _operation(operation: Operation) -> Json:
    described = operation.described
    statuses = sorted({str(said.status) for said, _ in told_errors(settings.DIALECT)})
    refused: Json = {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
    refused[ANY_REFUSAL] = {"$ref": f"#/components/responses/{ANY_REFUSAL}"}
    found: Json = {
        "operationId": operation.name,
        "summary": described.title,
        "description": described.means + (PREVIEW if in_preview(operation) else ""),
        "tags": [operation.scope or "key"],
        "parameters": [_parameter(one) for one in described.parameters if one.place != "body"],
        "responses": {"200": _answer(operation), **refused},
    }
    if body := [one for one in described.parameters if one.place == "body"]:
        kind = "multipart/form-data" if operation.is_form else "application/json"
        found["requestBody"] = {"required": True, "content": {kind: _body(body, described.examples)}}
    return found


def _parameter(one: Parameter) -> Json:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.required,
        "description": one.means,
        "schema": _schema(one),
    }


def _body(parameters: list[Parameter], examples: tuple[Example, ...]) -> Json:
    schema = {
        "type": "object",
        "properties": {one.name: {**_schema(one), "description": one.means} for one in parameters},
        "required": [one.name for one in parameters if one.required],
    }
    shown = {example.title: {"value": _example(example.request)} for example in examples if example.request}
    return {"schema": schema, **({"examples": {_name(title): one for title, one in shown.items()}} if shown else {})}


def _schema(one: Parameter) -> Json:
    kinds = [_kind(name, one) for name in one.types]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _kind(name: str, one: Parameter) -> Json:
    if name == "file":
        return {"type": "string", "contentMediaType": "application/octet-stream"}
    schema: Json = {"type": name}
    if name == "array" and one.items:
        schema["items"] = {"type": one.items}
    if name in ("integer", "number"):
        if one.least is not None:
            schema["minimum"] = one.least
        if one.most is not None and one.most < NO_LIMIT:
            schema["maximum"] = one.most
    if name == "string" and one.required:
        schema["minLength"] = 1
    if name == "array" and one.required:
        schema["minItems"] = 1
    if one.choices:
        schema["enum"] = list(one.choices)
    if one.default:
        schema["default"] = json.loads(one.default) if name in ("integer", "number", "boolean") else one.default
    return schema


def _answer(operation: Operation) -> Json:
    """Its members and their kinds are those of the examples."""
    content: Json = {}
    examples = operation.described.examples
    for file in {example.writes for example in examples if example.writes}:
        kind, _, _ = (mimetypes.guess_type(file)[0] or "application/").partition("/")
        content[f"{kind}/*"] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    if shown := [_example(one.answer) for one in examples if one.answer and not one.is_stream]:
        kept = set.intersection(*(set(one) for one in shown)) - set(operation.described.may_lack)
        schema = {**shape(*shown), "required": sorted(kept)}
        content["application/json"] = {"schema": schema, "example": shown[0]}
    for one in operation.described.parameters:
        if one.name == "stream":
            # 3.1 can't say more of events.
            content["text/event-stream"] = {"schema": {"description": "Server-sent events."}}
        if one.name == "response_format" and "text" in one.choices:
            content["text/plain"] = {"schema": {"type": "string"}}
    names = {name: {"$ref": f"#/components/headers/{name}"} for name in _headers()}
    return {"description": "The answer.", "headers": names, "content": content}


def shape(*values: Any) -> Json:
    """A schema of what is like these. What is null in one, or of several kinds, may be anything; members may miss."""
    if len({_kind_of(value) for value in values}) != 1 or values[0] is None:
        return {}
    if isinstance(values[0], dict):
        names = {name: [one[name] for one in values if name in one] for value in values for name in value}
        return {"type": "object", "properties": {name: shape(*found) for name, found in names.items()}}
    if isinstance(values[0], list):
        items = [item for value in values for item in value]
        return {"type": "array", **({"items": shape(*items)} if items else {})}
    return {"type": _kind_of(values[0])}


def _kind_of(value: Any) -> str:
    kinds = {dict: "object", list: "array", bool: "boolean", str: "string", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _error_schema() -> Json:
    text_or_none = {"type": ["string", "null"]}
    members = {"message": {"type": "string"}, "type": {"type": "string"}, "param": text_or_none, "code": text_or_none}
    error = {"type": "object", "properties": members, "required": list(members)}
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _error_responses() -> Json:
    """One for each status; its description has the types and codes."""
    told: dict[str, list[str]] = {}
    for said, means in told_errors(settings.DIALECT):
        told.setdefault(str(said.status), []).append(f"`{said.type}` `{said.code}`: {means}")
    found = {status: _error(f"{HTTPStatus(int(status)).phrase}. {' '.join(lines)}") for status, lines in told.items()}
    return {**found, ANY_REFUSAL: _error("The model's server refused the request.")}


def _error(description: str) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    named = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    return {"description": description, "headers": named, "content": {"application/json": {"schema": schema}}}


def _headers() -> Json:
    named = settings.DIALECT.rate_headers.named
    found: Json = {"x-request-id": {"description": "Names the request.", "schema": {"type": "string"}}}
    for what, means in HEADERS.items():
        for kind in ("requests", "tokens"):
            found[named(what, kind)] = {"description": means, "schema": {"type": "string"}}
    return found


def _example(text: str) -> Any:
    return json.loads(text.replace("{model}", "MODEL_ID").replace("{id}", SAMPLE_ID))


def _name(title: str) -> str:
    return title.lower().replace(" ", "-")
