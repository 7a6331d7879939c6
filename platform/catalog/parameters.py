"""What a model's id may be, and what it takes of a request's parameters: as staff write it, and as it is kept."""

import re

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

# Ids contain "/" and ":", never white space.
model_id_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$", "A model id has letters, digits and . _ : / @ + - only."
)

# Of one request, whatever the model.
MOST_IMAGES = 10
MOST_VALUES = 50
RATIO = re.compile(r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}")
SIZE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,29}")


def listed(text: str) -> list[str]:
    """The values of a text, between commas or spaces; each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))


def check_ratios(values: object) -> None:
    """Raises ValidationError where it isn't a list of ratios such as 16:9."""
    _check(values, RATIO, "An aspect ratio is two whole numbers with a colon between them, such as 16:9.")


def check_sizes(values: object) -> None:
    """Raises ValidationError where it isn't a list of sizes such as 2K or 1024x1536, each written in one way."""
    _check(values, SIZE, "A size has at most 30 letters, digits and . _ - only, such as 2K or 1024x1536.")


def _check(values: object, pattern: re.Pattern[str], message: str) -> None:
    if not isinstance(values, list) or not all(isinstance(one, str) and pattern.fullmatch(one) for one in values):
        raise ValidationError(message)
    if len(values) > MOST_VALUES:
        raise ValidationError(f"At most {MOST_VALUES} of them.")
    if len({one.lower() for one in values}) < len(values):
        raise ValidationError("Each of them once.")
