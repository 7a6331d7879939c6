"""For all tests: what is too long is left out unless asked for, and nothing is ever skipped."""

import os
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest

# The same examples each time: a change is judged by what it changes. `--extended` looks for new ones.
hypothesis.settings.register_profile("keymeter", derandomize=True, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--extended", action="store_true", help="also run the tests marked `extended`")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--extended"):
        hypothesis.settings.load_profile("keymeter")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--extended"):
        return
    extended = [item for item in items if item.get_closest_marker("extended")]
    if extended:
        config.hook.pytest_deselected(items=extended)
        items[:] = [item for item in items if item not in extended]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test fails: what is missing must be installed, or said."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipping is not allowed here: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"Skipping is not allowed here: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests tell of themselves, such as how many faults hit."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Let the test databases be emptied, which append-only tables refuse elsewhere."""
    from django.db import connection

    connection.settings_dict["OPTIONS"]["options"] = "-c keymeter.allow_truncate=on"


# What migrations write and Django writes anew after each flush, which took twice as long as to empty all others.
KEPT = {"django_content_type", "auth_permission"}


@pytest.fixture(scope="session", autouse=True)
def _what_a_flush_empties(django_db_modify_db_settings: None) -> None:
    """Django empties the tables of what it manages: the partitions are ours, and what nobody changes stays."""
    from django.db import connection

    from billing.models import UsageEvent

    managed = connection.introspection.django_table_names

    def emptied(*args: Any, **kwargs: Any) -> list[str]:
        return [*(name for name in managed(*args, **kwargs) if name not in KEPT), UsageEvent._meta.db_table]

    connection.introspection.django_table_names = emptied  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """After the migrations nobody needs to look whether what is kept is still there."""
    from django.contrib.contenttypes.management import create_contenttypes
    from django.db.models.signals import post_migrate

    assert post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    assert post_migrate.disconnect(create_contenttypes)


@pytest.fixture(autouse=True)
def _days_are_as_they_were(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that commits: the days' tables that it made go, those that it detached or dropped come back."""
    marker = request.node.get_closest_marker("django_db")
    if "transactional_db" not in request.fixturenames and not (marker and marker.kwargs.get("transaction")):
        yield
        return
    request.getfixturevalue("transactional_db")
    from django.db import connection

    from billing.partitions import ensure_partitions, partition_days, partition_name

    before = partition_days()
    yield
    kept = {partition_name(day) for day in before & partition_days()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname ~ '^billing_usageevent_[0-9]{8}$' AND relkind = 'r'")
        for (name,) in cursor.fetchall():
            if name not in kept:
                cursor.execute(f"DROP TABLE {name}")
    for day in before - partition_days():
        ensure_partitions(day, behind=0, ahead=0)


@pytest.fixture
def empty_valkey() -> Iterator[Any]:
    """A client of this worker's own Valkey database, which has nothing but an era at the start."""
    import redis

    from tests.cast import begin_era

    url = os.environ["VALKEY_URL"]
    assert int(url.rpartition("/")[2]) >= 8, "the databases below 8 belong to the development stack"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        begin_era(client)
        yield client


@pytest.fixture(autouse=True)
def _without_stripe(settings: Any) -> None:
    """Who wants one takes the fixture `shop`: no test finds its way to the real one."""
    settings.STRIPE_SECRET_KEY = ""
