"""`manage.py correct event REQUEST_ID --void`, `manage.py correct prices --model … --from … --to …`."""

import json as encoding
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import Organization, User
from billing import correcting, correction_rules, turns
from billing.correcting import CorrectionError, Difference, Rule
from billing.correcting_periods import Period, correct_period, preview_period
from billing.models import DailyUsage, Outcome, PriceList, UsageEvent
from billing.price_rules import PriceError, validate
from billing.tariff import UnitPrice
from catalog.models import Model
from config.progress import Progress

NANOS = 10**9
# Of what is skipped, so many are named.
NAMED = 20


class Command(BaseCommand):
    help = "Charge events otherwise: first what it would change; with --post it is done. docs/operating.md says more."

    def add_arguments(self, parser: CommandParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True, metavar="event|prices")
        event = kinds.add_parser("event", help="one request")
        event.add_argument("request_id", type=UUID, help="its x-request-id")
        usage = event.add_mutually_exclusive_group()
        usage.add_argument("--void", action="store_true", help="charge nothing")
        usage.add_argument("--usage", nargs="+", metavar="METER=UNITS", help="all that was used instead")
        event.add_argument("--outcome", choices=Outcome.values, help="how the request ended instead")
        prices = kinds.add_parser("prices", help="a period in which the prices of a model were wrong")
        prices.add_argument("--model", required=True, help="its public id")
        prices.add_argument("--from", dest="since", required=True, type=_moment, help="2026-11-20T00:00:00Z")
        prices.add_argument("--to", dest="until", required=True, type=_moment, help="the end, not included; it is over")
        prices.add_argument("--price-list", metavar="NAME", help="the list of a plan or an organization; else public")
        prices.add_argument(
            "--price",
            nargs="+",
            default=[],
            metavar="METER[@TIER][:VARIANT]=DOLLARS/UNITS",
            help="what supersedes the prices of that time: input_tokens=3.00/1000000 input_tokens@200000=6.00/1000000"
            " images:1024x1024-hd=0.08/1; left out: the prices that stand",
        )
        for kind in (event, prices):
            kind.add_argument("--post", action="store_true", help="do it, rather than say what it would change")
            kind.add_argument("--reason", default="", help="why; customers see it on the receipts")
            kind.add_argument("--by", metavar="EMAIL", help="who, among staff")
            kind.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["post"] and not options["reason"].strip():
            raise CommandError("Say why: --reason.")
        actor, skipped = _staff(options["by"]), Skipped()
        try:
            if options["kind"] == "event":
                differences = self._event(options, actor)
            else:
                differences = self._period(_period(options), options, actor, skipped)
        except (CorrectionError, PriceError, turns.Busy) as error:
            raise CommandError(f"{error} Nothing more was posted.") from error
        self._tell(differences, skipped, posted=options["post"], json=options["json"])
        if skipped.count:
            sys.exit(1)

    def _event(self, options: dict[str, Any], actor: User | None) -> dict[int, Difference]:
        request_id = options["request_id"]
        if not UsageEvent.objects.filter(pk=request_id).exists():
            raise CommandError(
                f"There is no event {request_id}: it isn't posted yet, or is older than events are kept."
                " Then adjust the balance, on Staff → Organizations."
            )
        scope, rule = correction_rules.one_event(request_id), _rule(options)
        if not options["post"]:
            return correcting.preview(scope, rule)
        what = f"{'void' if options['void'] else 'other usage or end of'} {request_id}"
        reason = options["reason"].strip()[:300]
        return correcting.correct(scope, rule, what=what, reason=reason, actor=actor, clock=timezone.now)

    def _period(
        self, period: Period, options: dict[str, Any], actor: User | None, skipped: "Skipped"
    ) -> dict[int, Difference]:
        progress = Progress("events", _about(period))
        try:
            if not options["post"]:
                return preview_period(period, tick=progress.advance, skip=skipped)
            return correct_period(
                period,
                reason=options["reason"].strip()[:300],
                actor=actor,
                clock=timezone.now,
                tick=progress.advance,
                skip=skipped,
            )
        finally:
            progress.finish()

    def _tell(self, differences: dict[int, Difference], skipped: "Skipped", *, posted: bool, json: bool) -> None:
        names = dict(Organization.objects.filter(pk__in=differences).values_list("pk", "public_id"))
        rows = sorted((names[pk], difference) for pk, difference in differences.items())
        events = sum(difference.events for _, difference in rows)
        nanos = sum(difference.nanos for _, difference in rows)
        if json:
            told = [{"organization": name, "events": row.events, "difference_nanos": row.nanos} for name, row in rows]
            whole = {"posted": posted, "events": events, "difference_nanos": nanos, "organizations": told}
            whole |= {"skipped": skipped.count, "skipped_because": skipped.first}
            self.stdout.write(encoding.dumps(whole))
            return
        for name, row in rows:
            self.stdout.write(f"{name}  {row.events:>10,} events  {_dollars(row.nanos)}")
        self.stdout.write(f"{'in all':<24}  {events:>10,} events  {_dollars(nanos)}")
        if skipped.count:
            self.stdout.write(f"Skipped, because they can't be corrected so: {skipped.count:,} events, such as")
            self.stdout.writelines(f"  {why}\n" for why in skipped.first)
        if not rows:
            self.stdout.write("Nothing is to be corrected.")
        elif not posted:
            self.stdout.write("Nothing was posted. To post it: --post --reason '…'.")


@dataclass
class Skipped:
    """Events that can't be corrected: how many, and why the first of them can't."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def __call__(self, _event: UUID, error: CorrectionError) -> None:
        self.count += 1
        if len(self.first) < NAMED:
            self.first.append(str(error))


def _rule(options: dict[str, Any]) -> Rule:
    if options["void"]:
        if options["outcome"]:
            raise CommandError("A void event has no other end: leave --outcome out.")
        return correction_rules.void
    if not (options["usage"] or options["outcome"]):
        raise CommandError("Say what is right: --void, --usage or --outcome.")
    usage = _usage(options["usage"]) if options["usage"] else None
    return correction_rules.otherwise(outcome=options["outcome"], usage=usage)


def _period(options: dict[str, Any]) -> Period:
    model = Model.objects.filter(public_id=options["model"]).first()
    if model is None:
        raise CommandError(f"There is no model {options['model']}.")
    prices = [_price(word) for word in options["price"]]
    if prices:
        validate(prices)
    return Period(
        model=model,
        since=options["since"],
        until=options["until"],
        prices=prices,
        price_list=_price_list(options["price_list"]),
    )


def _usage(words: list[str]) -> dict[str, int]:
    usage = {}
    for word in words:
        meter, _, units = word.partition("=")
        if not units.isdecimal():
            raise CommandError(f"{word}: write it as input_tokens=1000.")
        usage[meter] = int(units)
    return usage


def _price(word: str) -> UnitPrice:
    place, _, price = word.rpartition("=")
    before, _, variant = place.partition(":")
    meter, _, tier = before.partition("@")
    dollars, _, units = price.partition("/")
    try:
        nanos = Decimal(dollars) * NANOS
    except InvalidOperation:
        nanos = Decimal("NaN")
    if not nanos.is_finite() or nanos != int(nanos) or not units.isdecimal() or not (tier or "0").isdecimal():
        raise CommandError(f"{word}: write it as input_tokens=3.00/1000000, with up to nine decimals.")
    return UnitPrice(meter, int(nanos), int(units), int(tier or 0), variant)


def _price_list(name: str | None) -> PriceList | None:
    found = PriceList.objects.filter(name=name).first() if name else None
    if name and found is None:
        raise CommandError(f"There is no price list {name}.")
    return found


def _moment(text: str) -> datetime:
    found = parse_datetime(text)
    if found is None or found.tzinfo is None:
        raise ValueError(f"{text}: write it as 2026-11-20T00:00:00Z.")
    return found.astimezone(UTC)


def _about(period: Period) -> int:
    """How many events there may be, for the bar."""
    days = [period.since.date(), period.until.date()]
    rows = DailyUsage.objects.filter(model=period.model, day__range=days)
    return sum(rows.values_list("events", flat=True))


def _staff(email: str | None) -> User | None:
    if email is None:
        return None
    found = User.objects.filter(email__iexact=email, is_staff=True).first()
    if found is None:
        raise CommandError(f"{email} is nobody of the staff.")
    return found


def _dollars(nanos: int) -> str:
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else '+'}${whole:,}.{rest:09d}"
