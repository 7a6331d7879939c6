import re
from typing import Any

from django import forms

from accounts.models import Organization

SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,78}\*?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")


class WordsField(forms.CharField):
    """Words between line ends, spaces or commas in, a sorted list without doubles out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}), max_length=20_000, **kwargs)

    def clean(self, value: Any) -> list[str]:
        return sorted(set(re.split(r"[\s,]+", super().clean(value))) - {""})


class GatewayForm(forms.Form):
    """A new gateway credential: whose usage it may write, and as which source."""

    name = forms.CharField(
        max_length=80,
        help_text="Say which gateway has it, such as “edge-nginx”. Usage lines and the audit trail name it for good.",
    )
    sources = WordsField(
        required=False,
        help_text="Names that it may write usage as, one a line: exact, or a beginning with * as in edge-*."
        " Keymeter's own gateways are gw-*. Empty: it may ask about keys, and settle what it asked, but ship no logs.",
    )
    organizations = WordsField(
        required=False,
        help_text="Ids of the organizations that it is for, one a line: org_…. Keys of others are then unknown to it."
        " Empty: all, also future ones.",
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not NAME.fullmatch(name):
            raise forms.ValidationError("Use letters, digits, spaces, dots, dashes and underscores.")
        return name

    def clean_sources(self) -> list[str]:
        sources: list[str] = self.cleaned_data["sources"]
        for source in sources:
            if not SOURCE.fullmatch(source):
                raise forms.ValidationError(
                    f"“{source}” can't be a source: use letters, digits, dots, dashes and underscores, up to 80, and *"
                    " at the end only, after at least one of them."
                )
        return sources

    def clean_organizations(self) -> list[str]:
        asked: list[str] = self.cleaned_data["organizations"]
        known = set(Organization.objects.filter(public_id__in=asked).values_list("public_id", flat=True))
        unknown = [public_id for public_id in asked if public_id not in known]
        if unknown:
            raise forms.ValidationError(f"There is no organization {', '.join(unknown)}.")
        return asked
