"""Lines that couldn't be charged: looked at by kind, replayed as segments of their own, or discarded with a reason.

A line is resolved once, in the transaction that registers its replay: pressed twice, it is replayed once. What can't be
charged then is quarantined again, as a line of the replay.
"""
