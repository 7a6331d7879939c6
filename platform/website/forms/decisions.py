from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms

from accounts.models import ApiKey
from catalog.models import Model
from gateway.asking.endpoints import BY_NAME

LARGEST = 10_000_000


class RequestIdForm(forms.Form):
    """Which request to explain."""

    id = forms.UUIDField(
        label="Request id",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "inputmode": "text"}),
        help_text="It is in the x-request-id header of every answer.",
        error_messages={"invalid": "A request id looks like 01a1fbf2-dbe8-7468-8a90-0ca20661f9e2."},
    )

    def clean_id(self) -> UUID:
        found: UUID = self.cleaned_data["id"]
        if found.version != 7:
            raise forms.ValidationError("This is not one of our request ids.")
        return found


class DryRunForm(forms.Form):
    """A request that isn't made."""

    endpoint = forms.ChoiceField(choices=[(name, name) for name in BY_NAME], label="Endpoint")
    model = forms.ChoiceField(label="Model")
    address = forms.GenericIPAddressField(required=False, label="From the address")
    input_tokens = forms.IntegerField(required=False, min_value=0, max_value=LARGEST, label="Input tokens")
    output_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST,
        label="Output tokens at most",
        help_text="Empty: the model's most.",
    )

    def __init__(self, *args: Any, key: ApiKey, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        models = Model.objects.shown_to(key, now).values_list("public_id", flat=True)
        self.fields["model"].choices = [(model, model) for model in models]  # type: ignore[attr-defined]

    def asked(self) -> dict[str, Any]:
        """The arguments of gateway.dry_run.would_be."""
        return {name: None if value == "" else value for name, value in self.cleaned_data.items()}
