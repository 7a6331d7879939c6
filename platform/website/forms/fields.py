"""Fields that several forms share: dollars, percentages, moments."""

import re
from datetime import UTC, datetime
from typing import Any

from django import forms

from accounts.key_terms import LAST_YEAR
from website import money

PERCENT = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,2}))?")
# In basis points.
WHOLE = 10_000
# Nothing of ours is older, and no clock is set to what comes after the last.
FIRST_YEAR = 2000


class DollarField(forms.CharField):
    """Decimal dollars in, integer nano-dollars out; None where left empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=24, **kwargs)
        self.widget.attrs.update({"inputmode": "decimal", "autocomplete": "off"})

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            return money.parse(text)
        except money.NotAnAmount as error:
            raise forms.ValidationError(str(error)) from None


class PercentField(forms.CharField):
    """Percent with two decimals in, basis points out; None where left empty."""

    complaint = "Write a percentage with a point and at most two decimals, such as 12.5."

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=8, **kwargs)
        self.widget.attrs.update({"inputmode": "decimal", "autocomplete": "off"})

    def clean(self, value: Any) -> int | None:
        text = super().clean(value).removesuffix("%").strip()
        sign, digits = (-1, text[1:]) if text.startswith(("-", "−")) else (1, text.removeprefix("+"))
        match = PERCENT.fullmatch(digits)
        if not text:
            return None
        if match is None:
            raise forms.ValidationError(self.complaint)
        return sign * (int(match[1]) * 100 + int(f"{match[2] or 0:0<2}"))


class ShareField(PercentField):
    """A percentage of something: 0 to 100."""

    complaint = "Write 0 to 100 percent with a point and at most two decimals, such as 12.5."

    def clean(self, value: Any) -> int | None:
        points = super().clean(value)
        if points is not None and not 0 <= points <= WHOLE:
            raise forms.ValidationError(self.complaint)
        return points


class MomentField(forms.DateTimeField):
    """A date and time, UTC where no zone is named; in UTC out. Years that no calendar can convert are refused."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def to_python(self, value: Any) -> datetime | None:
        at = super().to_python(value)
        if at is None:
            return None
        if not FIRST_YEAR <= at.year <= LAST_YEAR:
            raise forms.ValidationError(f"Choose a time from the year {FIRST_YEAR} to {LAST_YEAR}.")
        return at.astimezone(UTC)
