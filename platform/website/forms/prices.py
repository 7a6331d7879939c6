from datetime import UTC, datetime
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from billing.meters import LABELS, METERS
from billing.models import PriceVersion
from website import money

TOKENS = [meter for meter in METERS if meter.endswith("_tokens")]
UNITS = {1_000_000: "1M", 1_000: "1K", 1: "1", 60: "60"}
USUAL_UNIT = {**dict.fromkeys(TOKENS, 1_000_000), "seconds": 60, "characters": 1_000_000}
FROM_NOW, SCHEDULED = "now", "scheduled"


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


class PriceForm(forms.Form):
    """A whole price version: an amount per so many units of each meter. An empty one is no price."""

    starts = forms.ChoiceField(
        choices=[(FROM_NOW, "From now: as soon as gateways know, about two seconds"), (SCHEDULED, "At a set time")],
        widget=forms.RadioSelect,
        initial=FROM_NOW,
        label="Takes effect",
    )
    effective_from = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        label="Date and time, UTC",
    )
    reason = forms.CharField(max_length=300, help_text="Goes into the history and the audit trail.")

    def __init__(self, *args: Any, current: PriceVersion | None, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.current = {price.meter: price for price in current.prices.all()} if current else {}
        for meter in METERS:
            price = self.current.get(meter)
            per = price.per_units if price else USUAL_UNIT.get(meter, 1)
            units = {**UNITS, per: UNITS.get(per, f"{per:,}")}
            self.fields[f"amount_{meter}"] = DollarField(
                required=False,
                label=LABELS[meter],
                initial=money.trimmed(price.amount_nanos).removeprefix("$").replace(",", "") if price else "",
            )
            self.fields[f"per_{meter}"] = forms.TypedChoiceField(
                choices=list(units.items()), coerce=int, initial=per, label=f"{LABELS[meter]}: per"
            )
            self.fields[f"per_{meter}"].widget.attrs["aria-label"] = f"{LABELS[meter]}: dollars per how many"

        # As on the page: the first wrong field gets the focus.
        self.order_fields([name for name in self.fields if name.startswith(("amount_", "per_"))])

    def rows(self) -> list[tuple[str, BoundField, BoundField]]:
        """Meter, amount and unit of each."""
        return [(meter, self[f"amount_{meter}"], self[f"per_{meter}"]) for meter in METERS]

    def usual_rows(self) -> list[tuple[str, BoundField, BoundField]]:
        """Those that most models have, or that this one has, or that were typed wrongly."""
        return [row for row in self.rows() if self._usual(row[0])]

    def other_rows(self) -> list[tuple[str, BoundField, BoundField]]:
        return [row for row in self.rows() if not self._usual(row[0])]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("starts") == SCHEDULED and "effective_from" not in self.errors:
            at = cleaned.get("effective_from")
            if at is None:
                self.add_error("effective_from", "Say when the prices take effect.")
            elif at <= self.now:
                self.add_error("effective_from", "This time is over. Prices can't change what was already charged.")
        if not self.errors and not self.prices:
            self.add_error(None, "Give at least one price. A model without prices can't be used.")
        return cleaned

    @property
    def prices(self) -> dict[str, tuple[int, int]]:
        """Meter → (nano-dollars, per so many units), as typed."""
        return {
            meter: (self.cleaned_data[f"amount_{meter}"], self.cleaned_data[f"per_{meter}"])
            for meter in METERS
            if self.cleaned_data.get(f"amount_{meter}") is not None
        }

    @property
    def effective(self) -> datetime | None:
        """None is from now."""
        if self.cleaned_data["starts"] == FROM_NOW:
            return None
        at: datetime = self.cleaned_data["effective_from"]
        return at.astimezone(UTC)

    def _usual(self, meter: str) -> bool:
        usual = meter in ("input_tokens", "cached_input_tokens", "output_tokens")
        return usual or meter in self.current or bool(self.data.get(f"amount_{meter}"))
