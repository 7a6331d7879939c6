from django.conf import settings
from django.http import HttpRequest


def product(request: HttpRequest) -> dict[str, str]:
    """What every page may name."""
    return {"PRODUCT_NAME": settings.PRODUCT_NAME, "API_URL": settings.API_URL}
