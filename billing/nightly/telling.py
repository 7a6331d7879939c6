from billing.nightly.shape import Night, Result
from billing.notices import balances, budgets, expiries, plans, price_changes


def tell(night: Night) -> Result:
    now = night.clock()
    return {
        "low balances": balances.watch(now),
        "key budgets": budgets.watch(now),
        "keys about to expire": expiries.tell(now),
        "plans": plans.tell(now),
        "changes ahead": price_changes.tell(now),
    }
