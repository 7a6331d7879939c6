from billing.nightly.shape import FoundWrongError, Night, Result
from billing.proofs import runs


def prove(night: Night) -> Result:
    """Prove everything. Raises FoundWrongError where a proof is red; alarms say which, and what it found."""
    run = runs.by_night(night.date, night.clock, told=night.tell)
    red = [result.name for result in run.results.all() if not result.ok]
    if red:
        raise FoundWrongError(f"Red: {', '.join(red)}. See Staff → Books, run {run.pk}.")
    return {"proofs": run.results.count(), "run": run.pk}
