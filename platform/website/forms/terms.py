from datetime import datetime
from typing import Any

from django import forms

from billing.models import OrganizationTerms, PriceList
from website.forms.fields import ShareField
from website.forms.starting import StartFields
from website.templatetags.keymeter import hundredths


class TermsForm(StartFields):
    """An organization's own terms. What is left empty is what its plan gives."""

    subject = "terms"
    own_price_list = forms.ModelChoiceField(
        PriceList.objects.all(),
        required=False,
        label="Own price list",
        empty_label="None",
        help_text="Its prices go before the plan's list and the public one, model by model.",
    )
    own_discount_bp = ShareField(
        required=False,
        label="Own discount, percent",
        help_text="Off public prices, instead of the plan's. Empty is what the plan gives; 0 is none.",
    )
    field_order = ("own_price_list", "own_discount_bp")

    def __init__(self, data: Any, *, current: OrganizationTerms | None, now: datetime) -> None:
        discount = current.own_discount_bp if current else None
        own = {
            "own_price_list": current.own_price_list_id if current else None,
            "own_discount_bp": "" if discount is None else hundredths(discount).removesuffix("%"),
        }
        super().__init__(data, initial=own, now=now)


class PriceListForm(forms.Form):
    name = forms.CharField(max_length=80, help_text="Staff see it, and customers don't.")
