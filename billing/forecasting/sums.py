"""What is summed over the events of a forecast: columns of its rows."""

SUMS = (
    "events",
    "charged_nanos",
    "before_nanos",
    "after_nanos",
    "cost_nanos",
    "costed_before_nanos",
    "costed_after_nanos",
    "unpriced_before",
    "unpriced_after",
)
