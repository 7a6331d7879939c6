"""Nano-dollars and the smallest units in which Stripe counts. Cents exist here alone, and nothing is rounded."""

# https://docs.stripe.com/currencies: amounts of these have no decimals, or three. (Stripe wants ISK and UGX with two.)
WITHOUT_DECIMALS = frozenset(
    {
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    }
)
WITH_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
NANOS = 10**9


class FractionError(ValueError):
    """An amount that the currency's smallest unit can't express."""


def nanos_per_unit(currency: str) -> int:
    """Billionths of the currency in its smallest unit: ten million in a cent, a billion in a yen."""
    if currency in WITHOUT_DECIMALS:
        return NANOS
    return NANOS // 1000 if currency in WITH_THREE_DECIMALS else NANOS // 100


def smallest_units(nanos: int, currency: str) -> int:
    """Raises FractionError where it isn't a whole number of them."""
    units, rest = divmod(nanos, nanos_per_unit(currency))
    if rest:
        raise FractionError
    return units


def nanos_of(amount: int, currency: str) -> int:
    """What so many smallest units are."""
    return amount * nanos_per_unit(currency)
