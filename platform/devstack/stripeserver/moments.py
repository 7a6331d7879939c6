"""What is on the agenda, and when it is done."""

import traceback
from collections.abc import Callable

from devstack.stripeserver import books, checking_out, debiting, disputing, refunding
from devstack.stripeserver.account import Account

ACTIONS: dict[str, Callable[[Account, str], None]] = {
    "debit": debiting.finish,
    "settle": books.settle_later,
    "dispute": disputing.open_by_card,
    "decide_dispute": disputing.decide,
    "refund_pending": refunding.succeed,
    "refund_failed": refunding.fail,
    "expire": checking_out.expire_later,
}
LONGEST_SLEEP = 60


async def keep(account: Account) -> None:
    """Do each duty when its time has come, until cancelled."""
    while True:
        do_what_is_due(account)
        until = account.agenda[0].at - account.time() if account.agenda else LONGEST_SLEEP
        await account.bell.sleep(min(max(until, 0), LONGEST_SLEEP))


def do_what_is_due(account: Account) -> None:
    """One that goes wrong doesn't keep the others from being done."""
    while account.agenda and account.agenda[0].at <= account.time():
        duty = account.agenda.pop(0)
        account.request = {"id": None, "idempotency_key": None}
        try:
            ACTIONS[duty.action](account, duty.about)
        except Exception:
            traceback.print_exc()  # to the log
