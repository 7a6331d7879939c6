from datetime import UTC, datetime, time
from typing import Any

from django import forms

from website.forms.fields import DollarField


class RedeemForm(forms.Form):
    """A code that somebody was given."""

    code = forms.CharField(max_length=60, label="Promotion code")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].widget.attrs.update({"autocomplete": "off", "autocapitalize": "characters"})


class PromotionForm(forms.Form):
    """A code that staff hand out."""

    code = forms.CharField(
        max_length=60, help_text="Letters, digits and hyphens, 4 to 40. Capital and small letters are the same."
    )
    amount = DollarField(label="Credit, dollars")
    uses_most = forms.IntegerField(
        required=False, min_value=1, max_value=10**9, label="Uses at most", help_text="Empty is without a limit."
    )
    last_day = forms.DateField(
        required=False,
        label="Last day (UTC)",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="On which it can be redeemed. Empty is without an end.",
    )
    credit_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=3650,
        label="Days that the credit lasts",
        help_text="Empty is credit that doesn't expire.",
    )
    first_top_up_only = forms.BooleanField(required=False, label="Only with an organization's first top-up")
    note = forms.CharField(max_length=200, required=False, help_text="What it is for. Only staff see it.")

    def clean_amount(self) -> Any:
        nanos = self.cleaned_data["amount"]
        if nanos == 0:
            raise forms.ValidationError("Zero gives nothing.")
        return nanos

    @property
    def expires_at(self) -> datetime | None:
        """The end of the last day."""
        day = self.cleaned_data["last_day"]
        return datetime.combine(day, time.max, tzinfo=UTC) if day else None
