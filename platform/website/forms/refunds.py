from typing import Any
from uuid import uuid4

from django import forms

from website.forms.fields import DollarField


class RefundForm(forms.Form):
    """How much of a payment goes back, and why. Sent twice it is one refund."""

    request_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    amount = DollarField(label="Amount, dollars", help_text="In whole cents.")
    may_owe = forms.BooleanField(
        required=False, label="It may be more than is unspent: take other credit, and leave a debt where there is none"
    )
    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it. The customer doesn't see it.")

    def clean_amount(self) -> Any:
        nanos = self.cleaned_data["amount"]
        if nanos == 0:
            raise forms.ValidationError("Zero refunds nothing.")
        return nanos
