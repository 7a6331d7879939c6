from typing import Any

from django import forms

from billing.models import NoticeKind
from billing.notices.balances import MOST
from billing.notices.kinds import KINDS
from website.forms.fields import DollarField


class ChoicesForm(forms.Form):
    """Which kinds of notices a member wants."""

    kinds = forms.MultipleChoiceField(
        required=False,
        label="Mail me when",
        choices=[(kind.value, f"{kind.label}: {told.tells}") for kind, told in KINDS.items()],
        widget=forms.CheckboxSelectMultiple,
    )

    @property
    def choices(self) -> dict[NoticeKind, bool]:
        return {kind: kind.value in self.cleaned_data["kinds"] for kind in KINDS}


class AmountsForm(forms.Form):
    """Below which balances an organization wants to be told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number in range(1, MOST + 1):
            self.fields[f"amount_{number}"] = DollarField(required=False, label=f"Amount {number}, dollars")

    @property
    def amounts(self) -> set[int]:
        """Nano-dollars."""
        return {nanos for nanos in self.cleaned_data.values() if nanos is not None}
