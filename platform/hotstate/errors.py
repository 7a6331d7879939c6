class Unreachable(Exception):
    """Valkey can't be asked. Decisions answer 503; changes wait in the outbox."""
