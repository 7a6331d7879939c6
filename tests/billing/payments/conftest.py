import pytest

from accounts.models import Organization
from tests.cast import make_organization
from tests.paying import shop, stripe_server, told, twist

__all__ = ["shop", "stripe_server", "told", "twist"]


@pytest.fixture
def organization(transactional_db: None, empty_valkey: object) -> Organization:
    return make_organization("Acme")
