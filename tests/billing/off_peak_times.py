"""Times of the week that tests price by."""

from datetime import UTC, datetime

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NIGHTS = {"days": [0, 1, 2, 3, 4, 5, 6], "from": "16:30", "to": "00:30", "basis_points": 5000}
