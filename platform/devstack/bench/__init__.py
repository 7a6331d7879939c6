"""Measurements: always beside a limit or a peer in the same run, as a ratio, with the machine's spread."""
