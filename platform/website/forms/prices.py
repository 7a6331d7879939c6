import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from billing.drafts.versions import Wanted, in_order
from billing.meters import LABELS, METERS, MOST_UNITS
from billing.tariff import UnitPrice
from website import money
from website.forms.fields import DollarField, MomentField, PercentField
from website.forms.starting import StartFields

TOKENS = [meter for meter in METERS if meter.endswith("_tokens")]
UNITS = {1_000_000: "1M", 1_000: "1K", 1: "1", 60: "60"}
USUAL_UNIT = {**dict.fromkeys(TOKENS, 1_000_000), "seconds": 60, "characters": 1_000_000}
DAYS = ((0, "Mon"), (1, "Tue"), (2, "Wed"), (3, "Thu"), (4, "Fri"), (5, "Sat"), (6, "Sun"))
# Empty rows beneath those that there are; and the most that a form has.
MORE_PRICES, MORE_TIMES, MOST_ROWS = 4, 2, 200


class UnitPriceFields(forms.Form):
    """Prices by meter, then further ones by tier and variant. An empty amount is no price."""

    may_be_empty = False

    def __init__(self, *args: Any, current: Wanted, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.current = current
        for meter in METERS:
            self._add_amount(meter, current.plain.get(meter), LABELS[meter], USUAL_UNIT.get(meter, 1))
        finer = [price for price in current.prices if price.from_input_tokens or price.variant]
        self.finer = range(self._rows("amount_finer_", finer, MORE_PRICES))
        for place in self.finer:
            self._add_finer(place, finer[place] if place < len(finer) else None)

    def rows(self) -> list[tuple[str, BoundField, BoundField]]:
        """Meter, amount and unit of each."""
        return [(meter, self[f"amount_{meter}"], self[f"per_{meter}"]) for meter in METERS]

    def usual_rows(self) -> list[tuple[str, BoundField, BoundField]]:
        """Those that most models have, or that this one has, or that were typed wrongly."""
        return [row for row in self.rows() if self._usual(row[0])]

    def other_rows(self) -> list[tuple[str, BoundField, BoundField]]:
        return [row for row in self.rows() if not self._usual(row[0])]

    def finer_rows(self) -> list[dict[str, BoundField]]:
        """Of tiers and variants."""
        parts = ("meter", "tier", "variant", "amount", "per")
        return [{part: self[f"{part}_finer_{place}"] for part in parts} for place in self.finer]

    def has_finer(self) -> bool:
        return any(self[f"amount_finer_{place}"].value() for place in self.finer)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for place in self.finer:
            amount = cleaned.get(f"amount_finer_{place}")
            if amount is not None and not (cleaned.get(f"tier_finer_{place}") or cleaned.get(f"variant_finer_{place}")):
                self.add_error(f"tier_finer_{place}", "Say from how many input tokens on, or of which variant.")
        if not self.errors and not self.unit_prices and not self.may_be_empty:
            self.add_error(None, "Give at least one price. A model without prices can't be used.")
        return cleaned

    @property
    def unit_prices(self) -> tuple[UnitPrice, ...]:
        """As typed."""
        cleaned = self.cleaned_data
        found = [
            UnitPrice(meter, cleaned[f"amount_{meter}"], cleaned[f"per_{meter}"])
            for meter in METERS
            if cleaned.get(f"amount_{meter}") is not None
        ]
        for place in self.finer:
            if cleaned.get(f"amount_finer_{place}") is not None:
                meter, amount, per, tier, variant = (
                    cleaned[f"{part}_finer_{place}"] for part in ("meter", "amount", "per", "tier", "variant")
                )
                found.append(UnitPrice(meter, amount, per, tier or 0, variant))
        return in_order(found)

    def _usual(self, meter: str) -> bool:
        usual = meter in ("input_tokens", "cached_input_tokens", "output_tokens")
        return usual or meter in self.current.plain or bool(self.data.get(f"amount_{meter}"))

    def _add_amount(self, name: str, price: UnitPrice | None, label: str, usual_unit: int) -> None:
        per = price.per_units if price else usual_unit
        units = {**UNITS, per: UNITS.get(per, f"{per:,}")}
        amount = money.trimmed(price.amount_nanos).removeprefix("$").replace(",", "") if price else ""
        self.fields[f"amount_{name}"] = DollarField(required=False, label=label, initial=amount)
        self.fields[f"per_{name}"] = forms.TypedChoiceField(
            required=False,
            choices=list(units.items()),
            coerce=int,
            initial=per,
            # What wasn't sent is as the page would have had it.
            empty_value=per,  # type: ignore[arg-type]
            label=f"{label}: per",
        )
        self.fields[f"per_{name}"].widget.attrs["aria-label"] = f"{label}: dollars per how many"

    def _add_finer(self, place: int, price: UnitPrice | None) -> None:
        nth = f"Price {place + 1} by tier or variant"
        self.fields[f"meter_finer_{place}"] = forms.ChoiceField(
            required=False,
            choices=[(meter, LABELS[meter]) for meter in METERS],
            initial=price.meter if price else "input_tokens",
            label=f"{nth}: what",
        )
        self.fields[f"tier_finer_{place}"] = forms.IntegerField(
            required=False,
            min_value=0,
            max_value=MOST_UNITS,
            initial=price.from_input_tokens or None if price else None,
            label=f"{nth}: from input tokens",
        )
        self.fields[f"variant_finer_{place}"] = forms.CharField(
            required=False, max_length=60, initial=price.variant if price else "", label=f"{nth}: variant"
        )
        self._add_amount(f"finer_{place}", price, f"{nth}: dollars", 1_000_000)
        for part in ("meter", "tier", "variant", "amount"):
            field = self.fields[f"{part}_finer_{place}"]
            field.widget.attrs["aria-label"] = str(field.label)

    def _rows(self, prefix: str, current: Iterable[object], more: int) -> int:
        """As many as there are with some empty ones, or as were sent."""
        sent = [int(name.removeprefix(prefix)) for name in self.data if re.fullmatch(prefix + "[0-9]{1,4}", name)]
        return min(MOST_ROWS, max([len(list(current)) + more, *(place + 1 for place in sent)]))


class PriceForm(StartFields, UnitPriceFields):
    """A whole price version: prices, and times of the week at which they are multiplied.

    `to_draft` is where it is only kept for later: then it starts, and says why, when it is published.
    """

    def __init__(self, *args: Any, own_list: bool = False, to_draft: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.may_be_empty = own_list
        times = list(self.current.off_peak)
        self.times = range(self._rows("percent_time_", times, MORE_TIMES))
        for place in self.times:
            self._add_time(place, times[place] if place < len(times) else None)
        if to_draft:
            for name in ("starts", "reason"):
                self.fields[name].required = False
        # As on the page: the first wrong field gets the focus.
        last = ("starts", "effective_from", "reason")
        self.order_fields([name for name in self.fields if name not in last])

    def time_rows(self) -> list[dict[str, BoundField]]:
        parts = ("days", "from", "to", "percent")
        return [{part: self[f"{part}_time_{place}"] for part in parts} for place in self.times]

    def has_times(self) -> bool:
        return any(self[f"percent_time_{place}"].value() for place in self.times)

    @property
    def wanted(self) -> Wanted:
        cleaned = self.cleaned_data
        windows = tuple(
            {
                "days": sorted(map(int, cleaned[f"days_time_{place}"])),
                "from": cleaned[f"from_time_{place}"],
                "to": cleaned[f"to_time_{place}"],
                "basis_points": cleaned[f"percent_time_{place}"],
            }
            for place in self.times
            if cleaned.get(f"percent_time_{place}") is not None
        )
        return Wanted(self.unit_prices, windows)

    def _add_time(self, place: int, window: dict[str, Any] | None) -> None:
        nth = f"Off-peak time {place + 1}"
        self.fields[f"days_time_{place}"] = forms.MultipleChoiceField(
            required=False,
            choices=DAYS,
            widget=forms.CheckboxSelectMultiple,
            initial=window["days"] if window else [],
            label=f"{nth}: days",
        )
        for part, initial in (("from", "22:00"), ("to", "06:00")):
            self.fields[f"{part}_time_{place}"] = forms.CharField(
                required=False, max_length=5, initial=window[part] if window else initial, label=f"{nth}: {part}"
            )
        points = window["basis_points"] if window else None
        percent = "" if points is None else f"{points // 100}.{points % 100:02d}".rstrip("0").rstrip(".")
        self.fields[f"percent_time_{place}"] = PercentField(
            required=False, initial=percent, label=f"{nth}: percent of the price"
        )
        for part in ("from", "to", "percent"):
            field = self.fields[f"{part}_time_{place}"]
            field.widget.attrs["aria-label"] = str(field.label)


class CostForm(UnitPriceFields):
    """What an upstream charges us for a route, from a moment on; no prices: nobody knows any more."""

    may_be_empty = True
    effective_from = MomentField(
        required=False,
        label="In force since, UTC",
        help_text="Empty is from now. It may be in the past: nobody is charged by it.",
    )
    reason = forms.CharField(max_length=300, help_text="Goes into the history and the audit trail.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name not in ("effective_from", "reason")])

    @property
    def effective(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["effective_from"]
        return at
