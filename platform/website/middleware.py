from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


def staff_second_factor(get_response: Handler) -> Handler:
    return get_response
