"""What the books must prove, every night and on demand: money.md's list, one proof for each claim."""

from billing.proofs import (
    closed,
    corrections,
    grants,
    ledger,
    lines,
    plans,
    prices,
    rerating,
    statements,
    usage,
    waiting,
)
from billing.proofs.shape import Proof

PROOFS: list[Proof] = [
    *ledger.PROOFS,
    *grants.PROOFS,
    *usage.PROOFS,
    *corrections.PROOFS,
    *closed.PROOFS,
    *statements.PROOFS,
    *lines.PROOFS,
    *rerating.PROOFS,
    *prices.PROOFS,
    *plans.PROOFS,
    *waiting.PROOFS,
]
