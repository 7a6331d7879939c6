"""Choosing and ending plans: with what was shown, so that nobody pays more than that."""

from typing import Any
from uuid import uuid4

from django import forms

from billing.plans.quoting import Quote
from website.forms.fields import MomentField

NOW, AT_END = "now", "end"


class ShownForm(forms.Form):
    """`at` is the moment for which amounts were shown, `shown` what was to pay then, nano-dollars."""

    at = MomentField(widget=forms.HiddenInput)
    shown = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, offer: Quote, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {**self.initial, "at": offer.at.isoformat(), "shown": offer.net_nanos}


class WhenForm(ShownForm):
    """Now or when the period ends."""

    def __init__(self, *args: Any, choices: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        first, _ = choices[0]
        self.fields["when"] = forms.ChoiceField(choices=choices, widget=forms.RadioSelect, label="When", initial=first)


class ByCardForm(forms.Form):
    """A card pays the first period. `asked` is the form, so that it pays once however often it is sent."""

    asked = forms.UUIDField(widget=forms.HiddenInput)
    shown = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, offer: Quote, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"asked": uuid4(), "shown": offer.fee_nanos}
