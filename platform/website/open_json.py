"""JSON that anybody may read, and keep."""

import hashlib

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response


def for_everybody(request: HttpRequest, body: bytes) -> HttpResponse:
    """For anybody's cache, and for pages from elsewhere; a change is seen within a second."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    answer = HttpResponse(body, "application/json")
    answer["ETag"] = etag
    answer["Cache-Control"] = "public, max-age=1"
    answer["Access-Control-Allow-Origin"] = "*"
    conditional = get_conditional_response(request, etag=etag, response=answer)
    return conditional or answer
