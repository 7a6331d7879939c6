from collections.abc import Sequence
from uuid import uuid4

from django import forms
from django.conf import settings

from billing.models import AutoRecharge, SavedCard
from billing.payments.topping_up import AmountError, amount_of, dollars
from website import money
from website.forms.fields import DollarField


class RechargeForm(forms.Form):
    """When a balance is refilled, by how much, and how much in a month at most."""

    threshold = DollarField(label="When the balance falls below, dollars")
    amount = DollarField(label="Add, dollars")
    cap = DollarField(label="At most in a calendar month (UTC), dollars")

    def __init__(self, *args: object, own: AutoRecharge | None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        least, most = dollars(settings.TOP_UP_LEAST_NANOS), dollars(settings.TOP_UP_MOST_NANOS)
        self.fields["amount"].help_text = f"From ${least} to ${most}, in whole cents."
        if own:
            chosen = {"threshold": own.threshold_nanos, "amount": own.amount_nanos, "cap": own.monthly_cap_nanos}
            self.initial = {name: money.trimmed(nanos).lstrip("$") for name, nanos in chosen.items()}


class TopUpForm(forms.Form):
    """How much to pay into the balance."""

    amount = DollarField(label="Amount, dollars")
    save_card = forms.BooleanField(required=False, label="Keep the card at Stripe for later payments")
    code = forms.CharField(max_length=60, required=False, label="Promotion code")
    # The form, so that it pays once however often it is sent.
    asked = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: object, cards: Sequence[SavedCard] = (), **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["asked"].initial = uuid4
        self._cards = {card.public_id: card for card in cards}
        if cards:
            choices = [(name, f"{card}, until {card.expiry}") for name, card in self._cards.items()]
            self.fields["card"] = forms.ChoiceField(
                choices=[*choices, ("", "Another card, on Stripe's page")],
                required=False,
                widget=forms.RadioSelect,
                label="Pay with",
                initial=next(iter(self._cards)),
            )
            self.fields["save_card"].label = "Keep that other card at Stripe for later payments"
            self.order_fields(["amount", "card", "save_card", "code"])
        least, most = dollars(settings.TOP_UP_LEAST_NANOS), dollars(settings.TOP_UP_MOST_NANOS)
        self.fields["amount"].help_text = f"From ${least} to ${most}, in whole cents."

    def clean(self) -> dict[str, object]:
        if self.cleaned_data.get("card") and not self.cleaned_data.get("asked"):
            raise forms.ValidationError("This form can't be told from another one. Load the page again.")
        return self.cleaned_data

    @property
    def card(self) -> SavedCard | None:
        """What pays; None is a card that is typed at Stripe."""
        return self._cards.get(self.cleaned_data.get("card", ""))

    def clean_amount(self) -> int:
        nanos: int = self.cleaned_data["amount"]
        try:
            amount_of(nanos)
        except AmountError as error:
            raise forms.ValidationError(str(error)) from None
        return nanos
