"""Statements as people read them: by section and by model, and as CSV with exact decimals."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from django.db.models import Count, QuerySet, Sum

from billing.models import Section, Statement, StatementLine
from website import money
from website.export import Echo, inert

PAGE = 200
MODELS_SHOWN = 50

HEAD = ("statement", "place", "section", "day", "text", "transaction", "model", "key", "key_name", "requests")
TOKENS = ("input_tokens", "output_tokens")


@dataclass(frozen=True)
class Total:
    """What so many lines come to; nano-dollars."""

    label: str
    lines: int
    nanos: int
    events: int = 0


@dataclass
class Shown:
    """A statement with its totals."""

    statement: Statement

    @cached_property
    def sections(self) -> list[Total]:
        """In the order of reading; their amounts are what lies between opening and closing."""
        found = self.statement.lines.order_by().values("section").annotate(lines=Count("id"), nanos=Sum("amount_nanos"))
        by_name = {row["section"]: row for row in found}
        names = [*(name for name in Section.values if name in by_name), *sorted(set(by_name) - set(Section.values))]
        return [Total(label(name), by_name[name]["lines"], int(by_name[name]["nanos"])) for name in names]

    def models(self, limit: int = MODELS_SHOWN) -> list[Total]:
        """Usage by model, the dearest first."""
        used = self.statement.lines.filter(section=Section.USAGE).order_by().values("model")
        sums = used.annotate(lines=Count("id"), nanos=Sum("amount_nanos"), requests=Sum("events"))
        return [
            Total(row["model"], row["lines"], int(row["nanos"]), int(row["requests"]))
            for row in sums.order_by("nanos", "model")[:limit]
        ]

    @cached_property
    def model_count(self) -> int:
        return self.statement.lines.filter(section=Section.USAGE).order_by().values("model").distinct().count()

    def page(self, after: int = 0) -> tuple[list[StatementLine], int | None]:
        """Lines after a place, and where the next page begins (None at the end)."""
        found = list(self.statement.lines.filter(place__gt=after)[: PAGE + 1])
        return found[:PAGE], found[PAGE - 1].place if len(found) > PAGE else None


def label(section: str) -> str:
    """A section's heading."""
    return Section(section).label if section in Section.values else section.replace("_", " ").capitalize()


def name(statement: Statement) -> str:
    """Of a file, without its ending."""
    return f"statement-{statement.organization.public_id}-{statement.number:04d}"


def csv_lines(statement: Statement) -> Iterator[str]:
    """A head, the opening balance, every line, the closing balance; dollars with all nine decimals."""
    writer = csv.writer(Echo())
    empty = [""] * (len(HEAD) - 4 + len(TOKENS))
    yield writer.writerow([*HEAD, *TOKENS, "amount_usd"])
    opening, closing = money.decimal(statement.opening_nanos), money.decimal(statement.closing_nanos)
    yield writer.writerow([statement.number, 0, "opening", statement.first_day, *empty, opening])
    for line in statement.lines.iterator(chunk_size=5000):
        yield writer.writerow(
            [
                statement.number,
                line.place,
                line.section,
                line.day or "",
                inert(line.text),
                line.transaction_id or "",
                line.model,
                line.api_key,
                inert(line.key_name),
                line.events,
                line.input_tokens,
                line.output_tokens,
                money.decimal(line.amount_nanos),
            ]
        )
    yield writer.writerow([statement.number, statement.line_count + 1, "closing", statement.through, *empty, closing])


def of(statements: "QuerySet[Statement]", number: int) -> Statement | None:
    """The one of that number, with its organization."""
    return statements.filter(number=number).select_related("organization", "drawn_by").first()
