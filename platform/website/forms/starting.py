"""When a change takes effect, and why: prices and terms ask for the same."""

from datetime import datetime
from typing import Any

from django import forms

from website.forms.fields import MomentField

FROM_NOW, SCHEDULED = "now", "scheduled"


class StartFields(forms.Form):
    """From now or at a set time, and the reason. `subject` is what starts, in the plural."""

    subject = "prices"
    starts = forms.ChoiceField(
        choices=[(FROM_NOW, "From now: as soon as gateways know, about two seconds"), (SCHEDULED, "At a set time")],
        widget=forms.RadioSelect,
        initial=FROM_NOW,
        label="Takes effect",
    )
    effective_from = MomentField(required=False, label="Date and time, UTC")
    reason = forms.CharField(max_length=300, help_text="Goes into the history and the audit trail.")

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("starts") == SCHEDULED and "effective_from" not in self.errors:
            at = cleaned.get("effective_from")
            if at is None:
                self.add_error("effective_from", f"Say when the {self.subject} take effect.")
            elif at <= self.now:
                said = f"This time is over. {self.subject.capitalize()} can't change what was already charged."
                self.add_error("effective_from", said)
        return cleaned

    @property
    def effective(self) -> datetime | None:
        """None is from now."""
        if self.cleaned_data["starts"] == FROM_NOW:
            return None
        at: datetime = self.cleaned_data["effective_from"]
        return at
