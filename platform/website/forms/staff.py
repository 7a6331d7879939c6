from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings

from gateway.asking.endpoints import BY_NAME
from website.forms.fields import DollarField
from website.forms.limits import LimitFields


class AdjustForm(forms.Form):
    """Money given or taken, with a reason. Sent twice it counts once: the operation id is the ledger's key."""

    operation_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    direction = forms.ChoiceField(
        choices=[("give", "Add to the balance"), ("take", "Take from the balance")],
        widget=forms.RadioSelect,
        initial="give",
        label="Adjustment",
    )
    amount = DollarField(label="Amount, dollars", help_text="Up to nine decimals, such as 25 or 0.000042.")
    reason = forms.CharField(max_length=300, help_text="The ledger and the audit trail keep it.")

    def clean_amount(self) -> int:
        nanos: int = self.cleaned_data["amount"]
        if nanos == 0:
            raise forms.ValidationError("Zero adjusts nothing.")
        return nanos

    @property
    def nanos(self) -> int:
        """Signed nano-dollars."""
        nanos: int = self.cleaned_data["amount"]
        return nanos if self.cleaned_data["direction"] == "give" else -nanos


class LimitsForm(LimitFields):
    """What an organization may do at once, and how far below zero it may spend. Empty is what its plan says."""

    overdraft = DollarField(
        required=False,
        label="Overdraft allowance, dollars",
        help_text="How far below zero the balance may go. Empty is what its plan allows, without a plan nothing.",
    )
    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it.")


class PreviewsForm(forms.Form):
    """Which of the endpoints in preview an organization may use."""

    previews = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Open",
        help_text="To all other organizations it is as if there were nothing at their paths.",
    )
    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = {BY_NAME[name].path: name for name in settings.PREVIEW_ENDPOINTS}
        self.fields["previews"].choices = [(name, path) for path, name in named.items()]  # type: ignore[attr-defined]


class ReasonForm(forms.Form):
    """Why an organization is suspended or reinstated."""

    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it.")
