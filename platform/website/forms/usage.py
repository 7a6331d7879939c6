from django import forms

from billing.lines import LONGEST_LINE, LineError, parse


class ExplanationForm(forms.Form):
    """What became of something that is missing."""

    explanation = forms.CharField(max_length=300, help_text="The audit trail keeps it.")


class ConfirmedForm(forms.Form):
    """For lines that their sender may not write for the organization they name, somebody has to answer."""

    confirmed = forms.BooleanField(
        label="The sender was right: charge these organizations",
        help_text="Its credential isn't bound to them. Bind it too, or the next lines wait here again.",
    )


class LineForm(forms.Form):
    """A usage line as a person corrected it."""

    text = forms.CharField(
        label="Line",
        strip=True,
        max_length=LONGEST_LINE,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "class": "mono"}),
    )
    note = forms.CharField(max_length=300, label="Why", help_text="The audit trail keeps it, with both lines.")

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r", "").replace("\n", " ")
        try:
            parse(text.encode())
        except LineError as error:
            raise forms.ValidationError(f"This is no usage line: {error}.") from error
        return text
