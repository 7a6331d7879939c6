"""What the books must prove, every night and on demand: money.md's list, one proof for each claim."""

from billing.proofs import (
    accounts,
    closed,
    corrections,
    grants,
    ledger,
    lines,
    payments,
    plans,
    prices,
    promotions,
    quarantine,
    refunds,
    rerating,
    statements,
    terms,
    usage,
    waiting,
)
from billing.proofs.shape import Proof

PROOFS: list[Proof] = [
    *ledger.PROOFS,
    *accounts.PROOFS,
    *grants.PROOFS,
    *usage.PROOFS,
    *corrections.PROOFS,
    *closed.PROOFS,
    *statements.PROOFS,
    *lines.PROOFS,
    *quarantine.PROOFS,
    *rerating.PROOFS,
    *prices.PROOFS,
    *terms.PROOFS,
    *plans.PROOFS,
    *payments.PROOFS,
    *refunds.PROOFS,
    *promotions.PROOFS,
    *waiting.PROOFS,
]
