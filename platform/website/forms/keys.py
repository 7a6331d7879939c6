from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4

from django import forms

from accounts.models import ApiKey
from catalog.models import Model
from gateway.endpoints import SCOPES

EXPIRIES = {
    "none": "Never",
    "7": "In 7 days",
    "30": "In 30 days",
    "90": "In 90 days",
    "365": "In a year",
    "date": "On a date…",
}
LAST_YEAR = 2200


class KeyForm(forms.Form):
    """What a new key may do. `now` is when it was asked for."""

    operation_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    name = forms.CharField(max_length=80, help_text="Say where it is used, such as “production” or “notebook”.")
    scopes = forms.MultipleChoiceField(
        choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple, label="What it may call"
    )
    models_allowed = forms.ChoiceField(
        choices=[("all", "All models, also future ones"), ("chosen", "Only these models")],
        widget=forms.RadioSelect,
        initial="all",
        label="Models",
    )
    models = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple, label="Chosen models")
    expiry = forms.ChoiceField(choices=list(EXPIRIES.items()), initial="none", label="Expires")
    expiry_date = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        label="Date",
        help_text="The key works until the end of that day, UTC.",
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.fields["scopes"].initial = list(SCOPES)
        models = Model.objects.filter(enabled=True).values_list("public_id", flat=True)
        self.fields["models"].choices = [(model, model) for model in models]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("models_allowed") == "chosen" and not cleaned.get("models") and "models" not in self.errors:
            self.add_error("models", "Choose at least one model, or allow all.")
        if cleaned.get("expiry") == "date" and "expiry_date" not in self.errors:
            if not cleaned.get("expiry_date"):
                self.add_error("expiry_date", "Choose the last day on which the key works.")
            elif cleaned["expiry_date"] < self.now.date():
                self.add_error("expiry_date", "This day is over. Choose today or a later day.")
            elif cleaned["expiry_date"].year > LAST_YEAR:
                self.add_error("expiry_date", f"Choose a day up to the year {LAST_YEAR}, or let the key never expire.")
        return cleaned

    @property
    def allowed_models(self) -> list[str]:
        """Public model ids; empty means all."""
        return self.cleaned_data["models"] if self.cleaned_data["models_allowed"] == "chosen" else []

    @property
    def expires_at(self) -> datetime | None:
        expiry = self.cleaned_data["expiry"]
        if expiry == "none":
            return None
        if expiry == "date":
            return datetime.combine(self.cleaned_data["expiry_date"] + timedelta(days=1), time(), tzinfo=UTC)
        return self.now + timedelta(days=int(expiry))


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
