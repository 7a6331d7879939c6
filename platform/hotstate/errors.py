class Unreachable(Exception):
    """Valkey can't be asked, or who would know in its place. Decisions answer 503; changes wait in the outbox."""


class LostError(Unreachable):
    """Valkey answers, but has lost its state and isn't recovered yet."""
