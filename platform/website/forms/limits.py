from django import forms

from accounts.key_terms import LARGEST_LIMIT
from hotstate.records import Limits


def _limit(label: str) -> forms.IntegerField:
    return forms.IntegerField(required=False, min_value=1, max_value=LARGEST_LIMIT, label=label)


class LimitFields(forms.Form):
    """What a key or an organization may do at once and in a while. Empty is no limit."""

    requests_per_minute = _limit("Requests per minute")
    tokens_per_minute = _limit("Tokens per minute")
    requests_per_day = _limit("Requests per day")
    concurrent_requests = _limit("Requests at once")

    @property
    def limits(self) -> Limits:
        return Limits(**{name: self.cleaned_data[name] for name in Limits.__struct_fields__})
