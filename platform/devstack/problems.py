"""A problem that the person at the terminal can solve."""


class StackError(Exception):
    """Says what is wrong and what to do; shown without a traceback."""
