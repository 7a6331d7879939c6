from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms

from billing.models import OrganizationTerms, PriceList
from website.templatetags.keymeter import hundredths

FROM_NOW, SCHEDULED = "now", "scheduled"


class PercentField(forms.CharField):
    """Percent in, basis points out; None where left empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=8, **kwargs)
        self.widget.attrs.update({"inputmode": "decimal", "autocomplete": "off"})

    def clean(self, value: Any) -> int | None:
        text = super().clean(value).strip().removesuffix("%").strip()
        if not text:
            return None
        try:
            points = Decimal(text) * 100
        except InvalidOperation:
            points = Decimal("NaN")
        if not points.is_finite() or points != int(points) or not 0 <= points <= 10_000:
            raise forms.ValidationError("Write 0 to 100 percent with a point and at most two decimals, such as 12.5.")
        return int(points)


class TermsForm(forms.Form):
    """An organization's own terms. What is left empty is what its plan gives."""

    own_price_list = forms.ModelChoiceField(
        PriceList.objects.all(),
        required=False,
        label="Own price list",
        empty_label="None",
        help_text="Its prices go before the plan's list and the public one, model by model.",
    )
    own_discount_bp = PercentField(
        required=False,
        label="Own discount, percent",
        help_text="Off public prices, instead of the plan's. Empty is what the plan gives; 0 is none.",
    )
    starts = forms.ChoiceField(
        choices=[(FROM_NOW, "From now: in about two seconds"), (SCHEDULED, "At a set time")],
        widget=forms.RadioSelect,
        initial=FROM_NOW,
        label="Takes effect",
    )
    effective_from = forms.DateTimeField(
        required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}), label="Date and time, UTC"
    )
    reason = forms.CharField(max_length=300, help_text="Goes into the history and the audit trail.")

    def __init__(self, data: Any, *, current: OrganizationTerms | None, now: datetime) -> None:
        discount = current.own_discount_bp if current else None
        own = {
            "own_price_list": current.own_price_list_id if current else None,
            "own_discount_bp": "" if discount is None else hundredths(discount).removesuffix("%"),
        }
        super().__init__(data, initial=own)
        self.now = now

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("starts") == SCHEDULED and "effective_from" not in self.errors:
            at = cleaned.get("effective_from")
            if at is None:
                self.add_error("effective_from", "Say when the terms take effect.")
            elif at <= self.now:
                self.add_error("effective_from", "This time is over. Terms can't change what was already charged.")
        return cleaned

    @property
    def effective(self) -> datetime | None:
        """None is from now."""
        if self.cleaned_data["starts"] == FROM_NOW:
            return None
        at: datetime = self.cleaned_data["effective_from"]
        return at.astimezone(UTC)


class PriceListForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Staff see it, and customers don't.")
