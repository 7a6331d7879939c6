"""Which organizations this process has listed in Valkey, so that it lists each of them rarely."""

from time import monotonic

# A list from which an organization went at the same moment has it again after that time.
AGAIN_SECONDS = 600


class Listing:
    """It begins anew with each era, because the lists may have been lost with the last one."""

    def __init__(self) -> None:
        self._since: tuple[str | None, float] = (None, 0.0)
        self._listed: set[tuple[str, str]] = set()

    def wants(self, index: str, org: str, era: str | None) -> bool:
        """Whether the organization has to be listed now."""
        since = (era, monotonic() // AGAIN_SECONDS)
        if since != self._since:
            self._since, self._listed = since, set()
        return (index, org) not in self._listed

    def note(self, index: str, org: str) -> None:
        """It is listed."""
        self._listed.add((index, org))
