from datetime import timedelta

from billing.nightly.shape import FoundWrongError, Night, NotReadyError, Result
from billing.payments import calling, differences, healing


def compare(night: Night) -> Result:
    """Compare the day before with Stripe, after a last healing. Raises NotReadyError where Stripe doesn't answer.

    Raises FoundWrongError where something differs.
    """
    if not calling.offered():
        return {"stripe": "isn't set up"}
    healing.heal(night.clock)
    try:
        compared, differing = differences.find(
            night.date - timedelta(days=1), night.clock, lambda done: night.tell(done, 0)
        )
    except (calling.RefusedError, calling.UnknownError) as error:
        raise NotReadyError(f"{error}.") from error
    if differing:
        raise FoundWrongError(f"Differences: {differing}. See Staff → Payments.")
    return {"objects compared": compared}
