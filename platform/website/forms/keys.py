from datetime import timedelta
from typing import Any
from uuid import uuid4

from django import forms

from accounts.models import ApiKey


class FirstKeyForm(forms.Form):
    """One step: a name, and a key that may do everything."""

    operation_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    name = forms.CharField(max_length=80, initial="My first key")


class RotateForm(forms.Form):
    """How long the old secret goes on. `replacing` is the secret that was current when the page was shown."""

    replacing = forms.CharField(widget=forms.HiddenInput)
    overlap = forms.TypedChoiceField(
        choices=[
            (0, "Ends at once"),
            (1, "Works for another hour"),
            (24, "Works for another day"),
            (168, "For a week"),
        ],
        coerce=int,
        initial=24,
        widget=forms.RadioSelect,
        label="The secret in use now",
        help_text="Put the new one wherever the old one is used before that time is over.",
    )

    @property
    def overlap_time(self) -> timedelta:
        return timedelta(hours=self.cleaned_data["overlap"])


class RevokeForm(forms.Form):
    """The key's name, typed again."""

    name = forms.CharField(
        label="Type the key's name to confirm", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, key: ApiKey, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.key = key

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.key.name:
            raise forms.ValidationError(f"That isn't the name. Type “{self.key.name}”.")
        return name
