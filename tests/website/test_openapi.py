"""The OpenAPI file is one, and says what the dialect says."""

from typing import Any

import pytest
from django.test import Client, override_settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from config.dialect import SHIPPED, dialect
from gateway.asking.description import operations
from website.openapi import shape

pytestmark = pytest.mark.django_db
NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))


def told(client: Client, name: str) -> Any:
    with override_settings(DIALECT=dialect(name), API_URL="https://api.example.com/v1"):
        answer = client.get("/openapi.json")
    assert answer["Access-Control-Allow-Origin"] == "*"
    return answer.json()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_and_has_what_the_dialect_has(client: Client, name: str) -> None:
    document, spoken = told(client, name), dialect(name)
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["components"]["securitySchemes"]) == set(spoken.credential_headers)
    assert "https://api.example.com/v1" in [one["url"] for one in document["servers"]]
    assert len(document["servers"]) == len(spoken.base_paths)
    found = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert found == {(one.path, one.method) for one in operations(spoken)}


def test_limits_types_and_errors_are_those_of_the_reference(client: Client) -> None:
    document = told(client, "hicap")
    chat = document["paths"]["/chat/completions"]["post"]
    body = chat["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["model", "messages"]
    assert (body["properties"]["n"]["minimum"], body["properties"]["n"]["maximum"]) == (1, 128)
    assert {one["type"] for one in body["properties"]["stop"]["anyOf"]} == {"string", "array"}
    assert set(chat["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert "permission_error" in document["components"]["responses"]["403"]["description"]
    edits = document["paths"]["/images/edits"]["post"]["requestBody"]["content"]
    assert set(edits) == {"multipart/form-data"}
    assert document["paths"]["/models/{model}"]["get"]["parameters"][0]["in"] == "path"


def test_what_is_in_preview_says_so_with_all_that_is_done_with_it(client: Client) -> None:
    with override_settings(PREVIEW_ENDPOINTS=["responses"]):
        paths = client.get("/openapi.json").json()["paths"]
        page = client.get("/docs/").content.decode()
    told = {path for path, methods in paths.items() for one in methods.values() if "In preview" in one["description"]}
    assert told == {path for path in paths if path.startswith("/responses")}
    marked = sum(len(methods) for path, methods in paths.items() if path in told)
    assert page.count("In preview: it may change") == marked


def test_it_is_linked_from_the_reference(client: Client) -> None:
    assert 'href="/openapi.json"' in client.get("/docs/").content.decode()


def test_a_shape_is_of_all_that_was_shown() -> None:
    first = {"a": [{"b": True}, {"c": 1}], "n": None, "d": [], "e": 1.5, "f": "x"}
    assert shape(first, {"e": 2, "f": None}) == {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "object", "properties": {"b": {"type": "boolean"}, "c": {"type": "number"}}},
            },
            "n": {},
            "d": {"type": "array"},
            "e": {"type": "number"},
            "f": {},
        },
    }
