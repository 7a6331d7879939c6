import re
from typing import Any

from django import forms

from billing.payments.countries import CODES


class BillingDetailsForm(forms.Form):
    """Name, address, tax id."""

    name = forms.CharField(max_length=200, label="Name of the company or person")
    line1 = forms.CharField(max_length=200, required=False, label="Street and number")
    line2 = forms.CharField(max_length=200, required=False, label="Address, second line")
    postal_code = forms.CharField(max_length=20, required=False, label="Postal code")
    city = forms.CharField(max_length=100, required=False, label="City")
    state = forms.CharField(max_length=100, required=False, label="State or region")
    country = forms.CharField(max_length=2, required=False, label="Country", help_text="Two letters: US, DE, GB.")
    tax_id = forms.CharField(
        max_length=40, required=False, label="Tax ID", help_text="VAT number, EIN or the like, as it is to be printed."
    )

    def clean_country(self) -> str:
        code: str = self.cleaned_data["country"].upper()
        if code and code not in CODES:
            raise forms.ValidationError("There is no country with this code. It has two letters: US, DE, GB.")
        return code

    def clean_tax_id(self) -> str:
        typed: str = self.cleaned_data["tax_id"]
        if typed and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ./-]*", typed):
            raise forms.ValidationError("A tax ID has letters, digits, spaces, dots, hyphens and slashes.")
        return typed.upper()

    def clean(self) -> dict[str, Any]:
        address = ("line1", "line2", "postal_code", "city", "state")
        if any(self.cleaned_data.get(name) for name in address) and self.cleaned_data.get("country") == "":
            self.add_error("country", "An address needs its country.")
        return self.cleaned_data
