from billing.nightly.shape import Night, NotReadyError, Result
from billing.plans.renewing import renew_due


def renew(night: Night) -> Result:
    """Renew or end the plans that are due. Raises NotReadyError where Valkey's absence put some off."""
    counts = renew_due(night.clock())
    if counts["put off"]:
        raise NotReadyError(f"Renewals put off: {counts['put off']}. Valkey can't be reached.")
    return {f"plans {outcome}": count for outcome, count in counts.items() if outcome != "put off"}
