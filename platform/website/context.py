from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Membership

THEMES = ("light", "dark")


def product(request: HttpRequest) -> dict[str, object]:
    """What every page may name. Memberships are asked for only by pages that show the switcher."""
    theme = request.COOKIES.get("theme", "")
    return {
        "PRODUCT_NAME": settings.PRODUCT_NAME,
        "API_URL": settings.API_URL,
        "SIGNUP_CREDIT_NANOS": settings.SIGNUP_CREDIT_NANOS,
        "THEME": theme if theme in THEMES else "",
        "memberships": SimpleLazyObject(lambda: _memberships(request)),
    }


def _memberships(request: HttpRequest) -> list[Membership]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    return list(user.memberships.select_related("organization").order_by("organization__name", "id"))
