"""With 300 models and 200 organizations no page asks the database more than 30 times, nor breaks."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devstack.bench import pages

pytestmark = pytest.mark.django_db


def test_no_page_asks_more_than_thirty_times() -> None:
    # Pages without a sample are named by `manage.py bench pages`.
    person, addresses, _ = pages.prepare(days=1)
    browser = pages.signed_in(person)
    asked, statuses = {}, {}
    for name, address in addresses.items():
        with CaptureQueriesContext(connection) as queries:
            statuses[name] = browser.get(address).status_code
        asked[name] = len(queries)
    assert {name: status for name, status in statuses.items() if status >= 500} == {}
    assert {name: count for name, count in asked.items() if count > pages.MOST_QUERIES} == {}
    assert sum(status == 200 for status in statuses.values()) > 80
