from typing import Any

from django import forms

from billing.drafts.bulk import ROUNDINGS
from billing.meters import INPUT_METERS, LABELS, METERS, OUTPUT_METERS
from website.forms.fields import PercentField
from website.forms.starting import StartFields
from website.pricesheet import MOST_BYTES

ALL, INPUT, OUTPUT = "all", "input", "output"
GROUPS = {ALL: METERS, INPUT: INPUT_METERS, OUTPUT: OUTPUT_METERS}


class BulkForm(forms.Form):
    """One percentage for the prices of all models that are shown."""

    percent = PercentField(label="Change by, percent", help_text="10 is a tenth more, -10 a tenth less.")
    what = forms.ChoiceField(
        choices=[
            (ALL, "All prices"),
            (INPUT, "Input of every kind"),
            (OUTPUT, "Output of every kind"),
            *((meter, f"Only {LABELS[meter].lower()}") for meter in METERS),
        ],
        label="Of",
    )
    rounding = forms.ChoiceField(choices=list(ROUNDINGS.items()), label="Rounded")
    # As many as the page said: never more than somebody looked at.
    models = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    # Of the draft as the page had it: sent twice, a percentage counts once.
    revision = forms.IntegerField(widget=forms.HiddenInput, min_value=0)

    @property
    def meters(self) -> tuple[str, ...]:
        chosen = self.cleaned_data["what"]
        return tuple(GROUPS.get(chosen, (chosen,)))


class PublishForm(StartFields):
    """When a draft takes effect, and why."""


class SheetForm(forms.Form):
    """A CSV file, or its text."""

    file = forms.FileField(
        required=False, label="File", widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"})
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or its text",
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "wrap": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        file = cleaned.get("file")
        if file is not None:
            cleaned["text"] = self._read(file)
        elif not cleaned.get("text", "").strip():
            self.add_error("file", "Choose a file, or paste its text.")
        return cleaned

    def _read(self, file: Any) -> str:
        if file.size > MOST_BYTES:
            self.add_error("file", f"The file has more than {MOST_BYTES:,} bytes.")
            return ""
        try:
            return str(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            self.add_error("file", f"The file isn't UTF-8: see its byte {error.start + 1:,}. Save it as CSV UTF-8.")
            return ""
