"""The menu of staff says where they are."""

import pytest
from django.test import Client

from accounts.models import Organization


@pytest.mark.parametrize("page", ["", "adjust/", "limits/", "plan/", "previews/", "suspend/", "terms/"])
def test_all_about_an_organization_is_under_organizations(
    staff_browser: Client, organization: Organization, page: str
) -> None:
    found = staff_browser.get(f"/staff/organizations/{organization.public_id}/{page}").content.decode()
    here = found.partition('aria-current="page"')[2]
    assert here.partition("</a>")[0].endswith("Organizations")
