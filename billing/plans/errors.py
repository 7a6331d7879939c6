class PlanError(ValueError):
    """What was asked of a plan can't be done; the message says why. Nothing has changed."""


class NotEnoughError(PlanError):
    """The balance doesn't cover it: so many nano-dollars are missing."""

    def __init__(self, message: str, missing_nanos: int) -> None:
        super().__init__(message)
        self.missing_nanos = missing_nanos


class OtherwiseError(PlanError):
    """It would cost more than what was shown: show it again."""


class PutOffError(PlanError):
    """Valkey or a balance in motion didn't allow it at this moment."""
