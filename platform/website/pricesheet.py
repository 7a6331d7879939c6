"""Prices as CSV: what is in force or drafted, out; whole versions, in, or every line's mistake and nothing."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from billing.drafts.versions import Place, Wanted, in_order, place_of
from billing.meters import METERS, MOST_UNITS
from billing.models import PriceList
from billing.price_rules import PriceError, validate
from billing.tariff import UnitPrice
from catalog.models import Model
from website import money
from website.export import Echo
from website.pricetable import Row

HEAD = ("model", "price_list", "meter", "from_input_tokens", "variant", "usd", "per_units")
REQUIRED = ("model", "meter", "usd", "per_units")
MOST_BYTES = 1_500_000
MOST_LINES = 20_000
MOST_MISTAKES = 50
NOTHING = Wanted()
WHOLE = re.compile(r"[0-9]{1,16}")


@dataclass
class Sheet:
    """What a file says: whole versions; or what is wrong with it, line by line."""

    versions: dict[Place, tuple[UnitPrice, ...]] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    lines: int = 0

    @property
    def more_mistakes(self) -> int:
        return max(0, len(self.mistakes) - MOST_MISTAKES)

    @property
    def shown_mistakes(self) -> list[tuple[int, str]]:
        return sorted(self.mistakes)[:MOST_MISTAKES]


def lines(rows: Iterable[Row], price_list: PriceList | None) -> Iterator[str]:
    """A head, then a line for each price; dollars with every decimal that matters."""
    writer = csv.writer(Echo())
    yield writer.writerow(HEAD)
    for row in rows:
        for price in row.wanted.prices:
            whole, decimals = money.decimal(price.amount_nanos).split(".")
            usd = f"{whole}.{decimals.rstrip('0'):0<2}"
            named = (row.model.public_id, price_list.name if price_list else "", price.meter)
            yield writer.writerow([*named, price.from_input_tokens, price.variant, usd, price.per_units])


def read(text: str) -> Sheet:
    """Every model and list that the file names has just the prices that it names there."""
    sheet = Sheet()
    if len(text.encode()) > MOST_BYTES:
        return _refused(sheet, f"The file has more than {MOST_BYTES:,} bytes.")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        if complaint := _wrong_head(head):
            return _refused(sheet, complaint)
        _read(sheet, reader, head)
    except csv.Error as error:
        sheet.mistakes.append((reader.line_num, f"This is no CSV: {error}."))
    if not sheet.lines and not sheet.mistakes:
        return _refused(sheet, "There is no price in this file.")
    return sheet


def _refused(sheet: Sheet, complaint: str) -> Sheet:
    sheet.mistakes.append((1, complaint))
    return sheet


def _wrong_head(head: list[str]) -> str:
    if len(head) == 1 and ";" in head[0]:
        return "Separate the columns by commas, not by semicolons."
    unknown = [name for name in head if name not in HEAD]
    if unknown:
        return f"There is no column “{unknown[0][:60]}”: the columns are {', '.join(HEAD)}."
    missing = [name for name in REQUIRED if name not in head]
    if missing:
        return f"The first line has to name the columns; {missing[0]} is missing."
    doubled = [name for name in head if head.count(name) > 1]
    return f"The column {doubled[0]} is there twice." if doubled else ""


def _read(sheet: Sheet, reader: Any, head: list[str]) -> None:
    models = dict(Model.objects.values_list("public_id", "pk"))
    lists: dict[str, int | None] = {"": None, **dict(PriceList.objects.values_list("name", "pk"))}
    found: dict[Place, dict[tuple[str, int, str], tuple[int, UnitPrice]]] = {}
    for values in reader:
        number = reader.line_num
        if not any(value.strip() for value in values):
            continue
        sheet.lines += 1
        if sheet.lines > MOST_LINES:
            sheet.mistakes.append((number, f"The file has more than {MOST_LINES:,} lines."))
            return
        if len(values) != len(head):
            sheet.mistakes.append((number, f"This line has {len(values)} columns; the first one names {len(head)}."))
            continue
        row = dict.fromkeys(HEAD, "") | {name: value.strip() for name, value in zip(head, values, strict=True)}
        try:
            place, price = _place(row, models, lists), _price(row)
        except PriceError as error:
            sheet.mistakes.append((number, str(error)))
            continue
        of_place = found.setdefault(place, {})
        first, _ = of_place.setdefault(place_of(price), (number, price))
        if first != number:
            sheet.mistakes.append((number, f"Line {first} has a price of the same already."))
    for place, prices in found.items():
        sheet.versions[place] = in_order(price for _, price in prices.values())
        try:
            validate(sheet.versions[place])
        except PriceError as error:
            sheet.mistakes.append((min(number for number, _ in prices.values()), str(error)))


def _place(row: dict[str, str], models: dict[str, int], lists: dict[str, int | None]) -> Place:
    model, name = row["model"], row["price_list"]
    if model not in models:
        raise PriceError(f"There is no model “{model[:60]}”.")
    if name not in lists:
        raise PriceError(f"There is no price list “{name[:60]}”.")
    return models[model], lists[name]


def _price(row: dict[str, str]) -> UnitPrice:
    meter = row["meter"]
    if meter not in METERS:
        raise PriceError(f"“{meter[:60]}” is not something that is counted. Meters are {', '.join(METERS)}.")
    try:
        amount = money.parse(row["usd"])
    except money.NotAnAmount as error:
        raise PriceError(f"usd, “{row['usd'][:40]}”: {error}") from None
    per = _whole(row["per_units"], "per_units")
    price = UnitPrice(meter, amount, per, _whole(row["from_input_tokens"] or "0", "from_input_tokens"), row["variant"])
    validate([price._replace(from_input_tokens=0)])
    if price.from_input_tokens > MOST_UNITS:
        raise PriceError(f"from_input_tokens is at most {MOST_UNITS:,}.")
    return price


def _whole(text: str, column: str) -> int:
    if not WHOLE.fullmatch(text):
        raise PriceError(f"{column}, “{text[:40]}”: write a whole number without separators.")
    return int(text)


def wanted(sheet: Sheet, before: dict[Place, Wanted]) -> dict[Place, Wanted]:
    """The versions that a draft is to have: off-peak times aren't in the file, and stay."""
    return {place: before.get(place, NOTHING)._replace(prices=prices) for place, prices in sheet.versions.items()}
