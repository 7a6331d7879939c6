from billing.nightly.shape import FoundWrongError, Night, Result
from billing.statements import monthly


def draw(night: Night) -> Result:
    """Draw the statements of the month before. Raises FoundWrongError where one can't be drawn; alarms say which."""
    through = monthly.month_before(night.date)
    drawn, wrong = monthly.draw_due(through, clock=night.clock, told=night.tell)
    if wrong:
        raise FoundWrongError(f"Not drawn, because the daily sums and the ledger disagree: {', '.join(wrong[:20])}.")
    return {"statements": drawn, "through": str(through)}
