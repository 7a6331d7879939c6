"""Staff's forms of plans: what a version offers, and what people read of it."""

from collections.abc import Iterable
from typing import Any

from django import forms

from billing.models import PlanVersion, PriceList
from billing.plans.offering import LARGEST_NANOS, Offer
from website import money
from website.forms.fields import DollarField, ShareField
from website.forms.limits import LimitFields

MOST_MODELS = 100
VERSION_FIRST = ("period", "fee", "included_credit", "rolls_over")


class PlanForm(forms.Form):
    """What people read."""

    name = forms.CharField(max_length=60)
    description = forms.CharField(max_length=300, required=False)
    public = forms.BooleanField(required=False, label="Customers can choose it themselves")


class VersionForm(LimitFields):
    """What a version costs and gives. Empty limits are none."""

    period = forms.ChoiceField(choices=PlanVersion.Period.choices, widget=forms.RadioSelect, initial="month")
    fee = DollarField(label="Fee, dollars a period")
    included_credit = DollarField(
        required=False, label="Included credit, dollars a period", help_text="Requests use it before the balance."
    )
    rolls_over = forms.BooleanField(
        required=False,
        label="What is left of it rolls over, up to what one period includes",
        help_text="Else it expires with the period.",
    )
    overdraft = DollarField(
        required=False, label="Overdraft allowance, dollars", help_text="How far below zero the balance may go."
    )
    discount = ShareField(required=False, label="Discount, percent", help_text="Off the public prices.")
    price_list = forms.ModelChoiceField(
        PriceList.objects.all(), required=False, label="Own prices", empty_label="The public ones"
    )
    models = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="Models",
        help_text="Ids or patterns with <code>*</code>, one a line. Empty is every model.",
    )
    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it.")
    field_order: Iterable[str] | None = VERSION_FIRST

    def clean_models(self) -> tuple[str, ...]:
        found = tuple(line.strip() for line in self.cleaned_data["models"].splitlines() if line.strip())
        if len(found) > MOST_MODELS or any(len(line) > 200 for line in found):
            raise forms.ValidationError(f"At most {MOST_MODELS} lines of up to 200 characters.")
        return found

    def clean(self) -> dict[str, Any]:
        for name in ("fee", "included_credit", "overdraft"):
            if (self.cleaned_data.get(name) or 0) > LARGEST_NANOS:
                self.add_error(name, "The largest amount is $1,000,000.")
        return self.cleaned_data

    @property
    def offer(self) -> Offer:
        data = self.cleaned_data
        return Offer(
            period=PlanVersion.Period(data["period"]),
            fee_nanos=data["fee"],
            included_credit_nanos=data["included_credit"] or 0,
            rolls_over=data["rolls_over"],
            limits=self.limits,
            overdraft_nanos=data["overdraft"] or 0,
            allowed_models=data["models"],
            discount_bp=data["discount"] or 0,
            price_list=data["price_list"],
        )


class NewPlanForm(PlanForm, VersionForm):
    """A plan with its first version."""

    slug = forms.SlugField(max_length=40, label="Id", help_text="Such as <code>pro</code>: gateways see it as X-Plan.")
    field_order: Iterable[str] | None = ("name", "slug", "description", "public", *VERSION_FIRST)


def as_typed(version: PlanVersion | None) -> dict[str, Any]:
    """A version as its form shows it, to begin the next from."""
    if version is None:
        return {}
    return {
        "period": version.period,
        "fee": _dollars(version.fee_nanos),
        "included_credit": _dollars(version.included_credit_nanos),
        "rolls_over": version.rolls_over,
        "overdraft": _dollars(version.overdraft_nanos),
        "discount": f"{version.discount_bp // 100}.{version.discount_bp % 100:02d}" if version.discount_bp else "",
        "price_list": version.price_list_id,
        "models": "\n".join(version.allowed_models),
        **{name: getattr(version, name) for name in version.limits.__struct_fields__},
    }


def _dollars(nanos: int) -> str:
    return money.trimmed(nanos).lstrip("$").replace(",", "") if nanos else ""


class GivePlanForm(forms.Form):
    """Which plan an organization gets, and when."""

    plan = forms.ModelChoiceField(PlanVersion.objects.none(), label="Plan", empty_label=None)
    when = forms.ChoiceField(
        choices=[("now", "Now, paid from its balance"), ("end", "When the period that is paid ends")],
        widget=forms.RadioSelect,
        initial="now",
        label="When",
    )
    reason = forms.CharField(max_length=300, help_text="The audit trail keeps it.")
