"""Money, times and numbers as every page shows them: short to read, exact on hover."""

from datetime import UTC, datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billing.meters import INPUT_METERS, LABELS, OUTPUT_METERS
from website import money as amounts

register = template.Library()

SPRITE = "vendor/tabler-icons-3.51.0.svg"
OUTCOME_STATES = {"completed": "good", "client_disconnected": "warn", "hold_exhausted": "warn"}
STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (86_400 * 30, 86_400, "d"))


@register.filter
def money(nanos: int | None) -> SafeString:
    """Nano-dollars, short, with the exact amount on hover."""
    if nanos is None:
        return SafeString("–")
    css = "money money-negative" if nanos < 0 else "money"
    # Digits of ours, on a page by the hundred: nothing is there to escape.
    return SafeString(f'<span class="{css}" title="{amounts.exact(nanos)}">{amounts.short(nanos)}</span>')


@register.filter
def exact(nanos: int) -> str:
    """Nano-dollars with all nine decimals."""
    return amounts.exact(nanos)


@register.filter
def absolute(nanos: int) -> int:
    """Without its sign."""
    return abs(nanos)


@register.filter
def hundredths(points: int) -> str:
    """Basis points as a percentage: `15%`, `12.5%`."""
    whole, rest = divmod(points, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"


@register.filter
def price(nanos: int) -> str:
    """A unit price: every decimal that matters."""
    return amounts.trimmed(nanos)


@register.filter
def number(value: int | None) -> str:
    """An integer with thousands separators."""
    return "–" if value is None else f"{value:,}"


@register.filter
def compact(value: int) -> str:
    """Units of a price: `1M`, `1K`, `60`."""
    for size, letter in ((1_000_000, "M"), (1_000, "K")):
        if value >= size and value % size == 0:
            return f"{value // size:,}{letter}"
    return f"{value:,}"


@register.filter
def moment(at: datetime | None) -> SafeString:
    """How long ago or how far ahead, with the exact time and zone on hover."""
    if at is None:
        return SafeString("–")
    # Digits of ours, on a page by the hundred: nothing is there to escape.
    said = relative(at, timezone.now())
    return SafeString(f'<time datetime="{at.isoformat()}" title="{exact_time(at)}" data-relative>{said}</time>')


@register.filter
def exact_time(at: datetime) -> str:
    """The time to the second, in UTC, and saying so."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


@register.filter
def iso_time(text: str) -> str:
    """A moment as ISO 8601, as a time in UTC."""
    return exact_time(datetime.fromisoformat(text).astimezone(UTC))


@register.filter
def iso_day(text: str) -> str:
    """The UTC day of a moment as ISO 8601."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d}"


@register.filter
def to_the_millisecond(at: datetime) -> str:
    """The time in UTC, where a second is a long time."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC"


@register.filter
def words(code: str) -> str:
    """A code as words: `rate_limited` is `rate limited`."""
    return code.replace("_", " ").replace(".", ": ").replace("-", " ")


@register.filter
def code_words(text: str) -> SafeString:
    """What stands between backticks, as code."""
    parts = text.split("`")
    marked = (format_html("<code>{}</code>" if place % 2 else "{}", part) for place, part in enumerate(parts))
    return format_html_join("", "{}", ((part,) for part in marked))


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """A decorative icon of the sprite."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        css,
        static(SPRITE),
        name,
    )


@register.filter
def listed(value: object) -> object:
    """What a list has, between commas; anything else as it is."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else value


@register.filter
def get(mapping: dict[object, object], key: object) -> object:
    """Look a key up; None where it is absent."""
    return mapping.get(key)


def relative(at: datetime, now: datetime) -> str:
    """`just now`, `5 min ago`, `in 3 d`; the date beyond thirty days."""
    seconds = (now - at) // timedelta(seconds=1)
    ahead, seconds = seconds < -1, abs(seconds)
    if seconds < 2:
        return "just now"
    for limit, size, unit in STEPS:
        if seconds < limit:
            return f"in {seconds // size} {unit}" if ahead else f"{seconds // size} {unit} ago"
    return f"{at:%d %b %Y}"


@register.filter
def input_units(usage: dict[str, int]) -> int:
    """Input tokens of every kind."""
    return sum(usage.get(meter, 0) for meter in INPUT_METERS)


@register.filter
def output_units(usage: dict[str, int]) -> int:
    """Output tokens of every kind."""
    return sum(usage.get(meter, 0) for meter in OUTPUT_METERS)


@register.filter
def outcome_state(outcome: str) -> str:
    """How an outcome is coloured."""
    return OUTCOME_STATES.get(outcome, "bad")


@register.filter
def among(word: str | None, words: str) -> bool:
    """Whether it is one of the words."""
    return word in words.split()


@register.filter
def meter_label(meter: str) -> str:
    """What a meter is called."""
    return LABELS.get(meter, meter)


@register.filter
def percent(whole: int) -> str:
    """A change: `+12 %`, `-3 %`."""
    return f"{whole:+,} %"


@register.filter
def basis_points(points: int | None) -> str:
    """A change of hundredths of a percent: `+12.5 %`; nothing where it can't be said."""
    if points is None:
        return ""
    whole, rest = divmod(abs(points), 100)
    sign = "-" if points < 0 else "+"
    return f"{sign}{whole:,}.{rest:02d}".rstrip("0").rstrip(".") + " %"


@register.filter
def share(points: int) -> str:
    """A multiplier: `50 %`, `33.33 %`."""
    return f"{points // 100}.{points % 100:02d}".rstrip("0").rstrip(".") + " %"


@register.filter
def weekday(day: int) -> str:
    """0 is Monday."""
    return ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day]
