"""What a key may do: the form that makes one, and the form that changes one."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from uuid import uuid4

from django import forms
from django.forms.boundfield import BoundField
from django.http import QueryDict
from msgspec.structs import asdict

from accounts.key_terms import LAST_YEAR, MOST_LISTED, KeyTerms, NotAModelPattern, NotANetwork, model_pattern, network
from accounts.models import ApiKey
from catalog.models import Alias, Model
from gateway.asking.endpoints import ALL_SCOPES, SCOPES
from hotstate.publish import LARGEST_NANOS
from hotstate.records import Budgets, Limits
from website import money
from website.forms.fields import DollarField
from website.forms.limits import LimitFields

EXPIRIES = {
    "none": "Never",
    "7": "In 7 days",
    "30": "In 30 days",
    "90": "In 90 days",
    "365": "In a year",
    "date": "On a date…",
}
KEEP = "keep"
WINDOWS = {"day": "A day", "week": "A week", "month": "A month", "total": "In all"}


def pattern(text: str) -> str:
    """A model id, perhaps with stars. Raises ValidationError."""
    try:
        return model_pattern(text)
    except NotAModelPattern as error:
        raise forms.ValidationError(str(error)) from None


def cidr(text: str) -> str:
    """A network as it is kept. Raises ValidationError."""
    try:
        return network(text)
    except NotANetwork as error:
        raise forms.ValidationError(str(error)) from None


class LinesField(forms.CharField):
    """One thing a line in, a list out; `each` reads one, and every one that is wrong is said."""

    def __init__(self, *, each: Callable[[str], str], **kwargs: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "off"})
        super().__init__(required=False, widget=widget, max_length=25_000, **kwargs)
        self.each = each

    def clean(self, value: Any) -> list[str]:
        lines = [line.strip() for line in super().clean(value).splitlines() if line.strip()]
        if len(lines) > MOST_LISTED:
            raise forms.ValidationError(f"At most {MOST_LISTED} lines; these are {len(lines)}.")
        found: list[str] = []
        wrong: list[forms.ValidationError] = []
        for line in lines:
            try:
                found.append(self.each(line))
            except forms.ValidationError as error:
                wrong.append(error)
        if wrong:
            raise forms.ValidationError(wrong)
        return sorted(set(found))


def _budget(label: str) -> DollarField:
    return DollarField(required=False, label=label)


class KeyTermsForm(LimitFields):
    """`now` is when it was asked for."""

    name = forms.CharField(max_length=80, help_text="Say where it is used, such as “production” or “notebook”.")
    scopes = forms.MultipleChoiceField(
        choices=list(ALL_SCOPES.items()), widget=forms.CheckboxSelectMultiple, label="What it may do"
    )
    models_allowed = forms.ChoiceField(
        choices=[("all", "All models, also future ones"), ("chosen", "Only these models")],
        widget=forms.RadioSelect,
        initial="all",
        label="Models",
    )
    models = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple, label="Chosen models")
    patterns = LinesField(
        each=pattern,
        label="And those that fit",
        help_text="One a line; * stands for anything: <code>acme/*</code> allows future models of acme too.",
    )
    expiry = forms.ChoiceField(choices=list(EXPIRIES.items()), initial="none", label="Expires")
    expiry_date = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        label="Date",
        help_text="The key works until the end of that day, UTC.",
    )
    budget_day = _budget("A day")
    budget_week = _budget("A week")
    budget_month = _budget("A month")
    budget_total = _budget("In all")
    networks = LinesField(
        each=cidr,
        label="Only from these addresses",
        help_text="Addresses or networks of your servers, one a line, such as 203.0.113.7 or 2001:db8::/32."
        " Empty is from anywhere.",
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.fields["scopes"].initial = list(SCOPES)
        aliases = Alias.objects.filter(enabled=True, hidden=False).values_list("public_id", flat=True)
        self.sold = [*Model.objects.listed(now).values_list("public_id", flat=True), *aliases]
        self.fields["models"].choices = [(model, model) for model in self.sold]  # type: ignore[attr-defined]
        self.order_fields(["name", "scopes", "models_allowed", "models", "patterns", "expiry", "expiry_date"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        for window in WINDOWS:
            if complaint := _complaint(cleaned.get(f"budget_{window}")):
                self.add_error(f"budget_{window}", complaint)
        told = cleaned.get("models") or cleaned.get("patterns") or {"models", "patterns"} & self.errors.keys()
        if cleaned.get("models_allowed") == "chosen" and not told:
            self.add_error("models", "Choose at least one model, or allow all.")
        chosen = {*cleaned.get("models", ()), *cleaned.get("patterns", ())}
        if len(chosen) > MOST_LISTED:
            said = f"At most {MOST_LISTED} models and patterns; these are {len(chosen)}."
            self.add_error("patterns", f"{said} A pattern with * stands for many.")
        on_date = cleaned.get("expiry") == "date" and "expiry_date" not in self.errors
        if on_date and (complaint := self._wrong_day(cleaned.get("expiry_date"))):
            self.add_error("expiry_date", complaint)
        return cleaned

    @property
    def terms(self) -> KeyTerms:
        cleaned = self.cleaned_data
        return KeyTerms(
            name=cleaned["name"],
            scopes=cleaned["scopes"],
            allowed_models=[*cleaned["models"], *cleaned["patterns"]] if cleaned["models_allowed"] == "chosen" else [],
            allowed_networks=cleaned["networks"],
            expires_at=self.expires_at,
            limits=self.limits,
            budgets=Budgets(**{window: cleaned[f"budget_{window}"] for window in WINDOWS}),
        )

    @property
    def expires_at(self) -> datetime | None:
        expiry = self.cleaned_data["expiry"]
        if expiry == "none":
            return None
        if expiry == "date":
            return datetime.combine(self.cleaned_data["expiry_date"] + timedelta(days=1), time(), tzinfo=UTC)
        return self.now + timedelta(days=int(expiry))

    def limit_fields(self) -> list[BoundField]:
        return [self[name] for name in Limits.__struct_fields__]

    def budget_fields(self) -> list[BoundField]:
        return [self[f"budget_{window}"] for window in WINDOWS]

    @property
    def more_is_wrong(self) -> bool:
        """Whether what a closed "More limits" hides has to be looked at."""
        return any(field.errors for field in (*self.limit_fields(), *self.budget_fields(), self["networks"]))

    def _wrong_day(self, day: date | None) -> str:
        if not day:
            return "Choose the last day on which the key works."
        if day < self.now.date():
            return "This day is over. Choose today or a later day."
        if day.year > LAST_YEAR:
            return f"Choose a day up to the year {LAST_YEAR}, or let the key never expire."
        return ""


class KeyForm(KeyTermsForm):
    """A new key."""

    operation_id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)


class ChangeKeyForm(KeyTermsForm):
    """What an existing key may do from now on. `version` is the one that the page showed."""

    version = forms.IntegerField(widget=forms.HiddenInput, min_value=1, max_value=2**62)

    def __init__(self, *args: Any, key: ApiKey, **kwargs: Any) -> None:
        super().__init__(*args, initial=_as_typed(key), **kwargs)
        self.key = key
        expiry: Any = self.fields["expiry"]
        self.initial["expiry"] = KEEP if key.expires_at else "none"
        if key.expires_at:
            when = f"{key.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            expiry.choices = [(KEEP, f"As now: {when}"), *EXPIRIES.items()]
        self.initial["models"] = [model for model in key.allowed_models if model in self.sold]
        self.initial["patterns"] = "\n".join(model for model in key.allowed_models if model not in self.sold)
        # A scope that the gateway doesn't know any more is kept until it is taken away here.
        scopes: Any = self.fields["scopes"]
        scopes.choices = [*ALL_SCOPES.items(), *((scope, scope) for scope in key.scopes if scope not in ALL_SCOPES)]

    def show_again(self, key: ApiKey) -> None:
        """The key was changed meanwhile: sent once more, this form replaces that."""
        sent = cast(QueryDict, self.data).copy()
        sent["version"] = str(key.version)
        self.data = sent
        said = "This key was changed since you opened the page."
        self.add_error(None, f"{said} What you typed is kept here: saving it again replaces the other change.")

    @property
    def expires_at(self) -> datetime | None:
        return self.key.expires_at if self.cleaned_data["expiry"] == KEEP else super().expires_at


def _as_typed(key: ApiKey) -> dict[str, Any]:
    budgets = {
        f"budget_{window}": None if nanos is None else money.trimmed(nanos).removeprefix("$").replace(",", "")
        for window, nanos in asdict(key.budgets).items()
    }
    return {
        "version": key.version,
        "name": key.name,
        "scopes": key.scopes,
        "models_allowed": "chosen" if key.allowed_models else "all",
        "networks": "\n".join(key.allowed_networks),
        **asdict(key.limits),
        **budgets,
    }


def _complaint(nanos: int | None) -> str:
    if nanos == 0:
        return "Zero would refuse every request. Leave it empty for no budget."
    if nanos and nanos > LARGEST_NANOS:
        return f"The largest budget is {money.short(LARGEST_NANOS)}. Leave it empty for no budget."
    return ""
