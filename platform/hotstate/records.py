"""Keys, organizations and balances as the inference path sees them: what is published to Valkey."""

import msgspec


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. Times are Unix milliseconds; an empty set of models means every model.

    `secrets` maps a hexadecimal digest to the secret's public id and when it lapses.
    """

    key: str
    org: str
    version: int
    revoked: bool
    expires_ms: int | None
    scopes: frozenset[str]
    models: frozenset[str]
    secrets: dict[str, tuple[str, int | None]]


class OrganizationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An organization; amounts in nano-dollars."""

    org: str
    version: int
    suspended: bool
    overdraft_nanos: int


class BalanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A balance as posted, in nano-dollars, and the requests whose holds it makes superfluous."""

    org: str
    version: int
    nanos: int
    posted: tuple[str, ...] = ()
