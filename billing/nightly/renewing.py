from billing.nightly.shape import FoundWrongError, Night, NotReadyError, Result
from billing.plans.renewing import renew_due


def renew(night: Night) -> Result:
    """Renew or end the plans that are due. Raises NotReadyError where Valkey's absence put some off.

    Raises FoundWrongError where some break.
    """
    counts = renew_due(night.clock())
    if counts["broken"]:
        raise FoundWrongError(f"Renewals that break: {counts['broken']}. Alarms name them.")
    if counts["put off"]:
        raise NotReadyError(f"Renewals put off: {counts['put off']}. Valkey can't be reached.")
    return {f"plans {outcome}": count for outcome, count in counts.items() if outcome in ("renewed", "failed", "ended")}
