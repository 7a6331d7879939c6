"""A statement as PDF: the same lines, on pages of A4, with exact amounts.

Where there are very many lines of usage, the PDF has them by model, and says that the CSV has each: so it stays small
and is made in a second or two. The same statement gives the same bytes.
"""

from collections.abc import Iterable
from functools import cache
from io import BytesIO

from django.conf import settings
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from billing.models import Section, Statement, StatementLine
from website import money
from website.statements import Shown, label

FONT = "DejaVuSans"
FONT_FILE = "vendor/fonts/dejavu-sans-2.37.3.ttf"
MOST_LINES = 2_000
LEFT, RIGHT, TOP, BOTTOM = 50, 545, 790, 60
ROW = 14
# Characters that fit into the columns: what it is, and of which key.
WIDE, NARROW = 48, 34


def render(statement: Statement) -> bytes:
    """The file's bytes."""
    buffer = BytesIO()
    sheet = _Sheet(Canvas(buffer, pagesize=A4, invariant=1, initialFontName=_font()), statement)
    sheet.head()
    shown = Shown(statement)
    sheet.row("Opening balance", str(statement.first_day), "", statement.opening_nanos, strong=True)
    for section in shown.sections:
        sheet.row(section.label, "", "", section.nanos)
    sheet.row("Closing balance", str(statement.through), "", statement.closing_nanos, strong=True)
    for section_label, rows in _sections(shown):
        sheet.title(section_label)
        for row in rows:
            sheet.row(*row)
    sheet.end()
    return buffer.getvalue()


@cache
def _font() -> str:
    """A font with the letters of most names; it goes into the file, as far as it is used."""
    pdfmetrics.registerFont(TTFont(FONT, settings.BASE_DIR.joinpath("static", FONT_FILE)))
    return FONT


_Row = tuple[str, str, str, int]


def _sections(shown: Shown) -> Iterable[tuple[str, list[_Row]]]:
    """Heading by heading: what, which key or day, how many requests, nano-dollars."""
    lines = shown.statement.lines
    for name in Section.values:
        of_section = lines.filter(section=name)
        count = of_section.count()
        if not count:
            continue
        if count <= MOST_LINES:
            yield label(name), [_row(line) for line in of_section]
        elif name == Section.USAGE:
            rows: list[_Row] = [
                (total.label, f"{total.lines:,} keys", f"{total.events:,}", total.nanos)
                for total in shown.models(MOST_LINES)
            ]
            yield f"{label(name)} by model (the CSV has each key)", rows
        else:
            most = [_row(line) for line in of_section[:MOST_LINES]]
            yield f"{label(name)}, the first {MOST_LINES:,} of {count:,} (the CSV has all)", most


def _row(line: StatementLine) -> _Row:
    if line.section == Section.USAGE:
        return line.model, line.key_name, f"{line.events:,}", line.amount_nanos
    return line.text or label(line.section), str(line.day or ""), "", line.amount_nanos


class _Sheet:
    """Rows from top to bottom, page after page."""

    def __init__(self, canvas: Canvas, statement: Statement) -> None:
        self._canvas, self._statement = canvas, statement
        self._page, self._y = 1, TOP
        canvas.setTitle(f"Statement {statement.number}")
        canvas.setAuthor(settings.PRODUCT_NAME)

    def head(self) -> None:
        statement = self._statement
        self._text(LEFT, f"Statement {statement.number}", size=20)
        self._y -= 24
        for words in (
            *(statement.billed_to or [statement.organization.name]),
            statement.organization.public_id,
            f"{statement.first_day} through {statement.through} (UTC), in US dollars",
        ):
            self._text(LEFT, _cut(words, 80), size=10)
            self._y -= ROW
        self._y -= ROW

    def title(self, words: str) -> None:
        self._y -= ROW
        self._room(3 * ROW)
        self._text(LEFT, words, size=12)
        self._y -= ROW + 4

    def row(self, what: str, which: str, count: str, nanos: int, *, strong: bool = False) -> None:
        self._room(ROW)
        size = 10 if strong else 8
        self._text(LEFT, _cut(what, WIDE), size=size)
        self._text(LEFT + 235, _cut(which, NARROW), size=8)
        self._canvas.setFont(FONT, 8)
        self._canvas.drawRightString(RIGHT - 95, self._y, count)
        self._canvas.setFont(FONT, size)
        self._canvas.drawRightString(RIGHT, self._y, money.exact(nanos))
        self._y -= ROW

    def end(self) -> None:
        self._foot()
        self._canvas.save()

    def _room(self, height: int) -> None:
        if self._y - height < BOTTOM:
            self._foot()
            self._canvas.showPage()
            self._page, self._y = self._page + 1, TOP

    def _foot(self) -> None:
        statement = self._statement
        words = f"{statement.organization.public_id}, statement {statement.number}, page {self._page}"
        self._canvas.setFont(FONT, 7)
        self._canvas.drawString(LEFT, BOTTOM - 24, f"{settings.PRODUCT_NAME}: {words}")

    def _text(self, x: int, words: str, *, size: int) -> None:
        self._canvas.setFont(FONT, size)
        self._canvas.drawString(x, self._y, words)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
