"""The gateway keeps to its OpenAPI file, whatever is asked: requests that fit it and such that don't."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.test import override_settings
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from catalog.models import Model
from gateway.asking.description import Operation
from tests.gateway.conftest import RunningGateway
from tests.gateway.test_reference_examples import EVERYTHING, OPERATIONS, secret
from website import openapi

__all__ = ["secret"]

# Of requests that fit, and of such that don't, for each operation.
MOST = 8
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture
def speaks(secret: str) -> Iterator[None]:
    with override_settings(DIALECT=EVERYTHING):
        yield


@pytest.mark.parametrize("name", OPERATIONS)
def test_only_what_is_documented_is_answered(name: str, gateway: RunningGateway, secret: str, speaks: None) -> None:
    told = openapi.document()
    # What a model's server may answer besides isn't what the demo server does.
    for methods in told["paths"].values():
        for one in methods.values():
            one["responses"].pop(openapi.ANY_REFUSAL, None)
    operation = OPERATIONS[name]
    asked = schemathesis.openapi.from_dict(told)[operation.path][operation.method]
    assert 200 in ask_often(asked, GenerationMode.POSITIVE, operation, gateway)
    assert ask_often(asked, GenerationMode.NEGATIVE, operation, gateway)


def ask_often(asked: Any, mode: GenerationMode, operation: Operation, gateway: RunningGateway) -> set[int]:
    """The statuses, after what each answer has was compared with the file."""
    strategy, model, statuses = asked.as_strategy(generation_mode=mode), sold_for(operation), set[int]()

    @given(case=strategy)
    @settings(
        max_examples=MOST,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Case) -> None:
        if mode.is_positive:
            put(case, "model", model)
            put(case, "id", made_before(operation, gateway))
        answer = case.call(
            base_url=f"http://127.0.0.1:{gateway.port}/v1",
            headers={"Authorization": f"Bearer {gateway.secret}"},
            timeout=20,
        )
        assert answer.status_code != 500
        case.validate_response(answer, checks=CHECKS)
        statuses.add(answer.status_code)

    ask()
    return statuses


def sold_for(operation: Operation) -> str:
    models = Model.objects.filter(enabled=True).order_by("public_id")
    return next(one.public_id for one in models if not operation.family or operation.family in one.families)


def made_before(operation: Operation, gateway: RunningGateway) -> str:
    """The id of what another endpoint's example makes, where one is wanted."""
    after = operation.described.examples[0].after
    if not after:
        return ""
    name, _, place = after.partition("/")
    maker = OPERATIONS[name]
    request = maker.described.examples[int(place) - 1].request.replace("{model}", sold_for(maker))
    return str(gateway.post(f"/v1{maker.path}", request.encode()).json["id"])


def put(case: Case, name: str, value: str) -> None:
    """One that there is, wherever it stands."""
    for place in (case.body, case.path_parameters, case.query):
        if isinstance(place, dict) and name in place:
            place[name] = value


def test_a_client_generator_gets_every_operation() -> None:
    with override_settings(DIALECT=EVERYTHING):
        told: Any = json.loads(json.dumps(openapi.document()))
    found = {one["operationId"] for methods in told["paths"].values() for one in methods.values()}
    assert found == set(OPERATIONS)
