"""Which state of the catalogue there is: what was read of it stays right until this changes."""

from hotstate import names
from hotstate.client import reaching_valkey


def catalogue_version() -> str:
    """Changes with models, upstreams, routes and prices, and where Valkey lost its state. Raises Unreachable."""
    with reaching_valkey() as valkey:
        pipeline = valkey.pipeline(transaction=False)
        pipeline.get(names.CATALOG_VERSION)
        pipeline.hget(names.ERA, "id")
        return ".".join((value or b"").decode() for value in pipeline.execute())
