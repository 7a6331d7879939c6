"""`manage.py bench`: each ends, tells what it measured beside its peers, and leaves nothing held or unproved."""

import json
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

pytestmark = [pytest.mark.extended, pytest.mark.timeout(500)]


def bench(name: str) -> dict[str, Any]:
    command = [sys.executable, "manage.py", "bench", name, "--quick", "--json"]
    told = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=500, check=True)
    report: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    assert report["name"] == name
    assert report["rate"] > 0
    assert report["ratios"].keys() == report["beside"].keys()
    return report


def test_decisions_are_measured_beside_a_constant_a_script_and_the_usual_way() -> None:
    report = bench("decision")
    assert report["beside"].keys() == {"constant", "lua", "drf"}
    assert report["notes"]["statuses"].keys() == {"200", "401", "404"}
    assert report["notes"]["holds_left"] == 0


def test_ingest_is_measured_beside_copy_and_its_books_are_proved() -> None:
    report = bench("ingest")
    assert report["beside"].keys() == {"copy"}
    assert report["notes"]["concentrated_rate"] > 0
    assert report["notes"]["red_proofs"] == []


def test_pages_are_measured_beside_their_frame() -> None:
    report = bench("pages")
    assert report["beside"].keys() == {"shell"}
    assert report["notes"]["over_30_queries"] == []
    assert len(report["notes"]["pages"]) > 70


def test_the_gateway_is_measured_beside_a_proxy_and_the_model_server_alone() -> None:
    report = bench("gateway")
    assert {"nginx", "direct"} <= report["beside"].keys()
    assert report["notes"]["streams"].keys() == report["beside"].keys() | {"gateway"}
    assert report["notes"]["paced_streams_of_nginx"] > 0
    assert report["notes"]["holds_left"] == 0
