"""What is on the agenda, and when it is done."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from devstack.stripeserver import books, checking_out, disputing, refunding
from devstack.stripeserver.account import Account

ACTIONS: dict[str, Callable[[Account, str], None]] = {
    "settle": books.settle_later,
    "dispute": disputing.open_by_card,
    "decide_dispute": disputing.decide,
    "refund_pending": refunding.succeed,
    "refund_failed": refunding.fail,
    "expire": checking_out.expire_later,
}
LONGEST_SLEEP = 1


async def keep(account: Account) -> None:
    """Do each duty when its time has come, until cancelled."""
    while True:
        while account.agenda and account.agenda[0].at <= account.time():
            duty = account.agenda.pop(0)
            account.request = {"id": None, "idempotency_key": None}
            ACTIONS[duty.action](account, duty.about)
        account.woken.clear()
        until = account.agenda[0].at - account.time() if account.agenda else LONGEST_SLEEP
        with suppress(TimeoutError):
            await asyncio.wait_for(account.woken.wait(), min(max(until, 0), LONGEST_SLEEP))
