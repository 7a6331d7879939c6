from django import forms
from django.conf import settings

from billing.payments.topping_up import AmountError, amount_of, dollars
from website.forms.fields import DollarField


class TopUpForm(forms.Form):
    """How much to pay into the balance."""

    amount = DollarField(label="Amount, dollars")
    save_card = forms.BooleanField(required=False, label="Keep the card at Stripe for later payments")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        least, most = dollars(settings.TOP_UP_LEAST_NANOS), dollars(settings.TOP_UP_MOST_NANOS)
        self.fields["amount"].help_text = f"From ${least} to ${most}, in whole cents."

    def clean_amount(self) -> int:
        nanos: int = self.cleaned_data["amount"]
        try:
            amount_of(nanos)
        except AmountError as error:
            raise forms.ValidationError(str(error)) from None
        return nanos
