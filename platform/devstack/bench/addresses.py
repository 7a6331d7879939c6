"""Every page of the website by its name, with the rows of a sample filled in."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.urls import URLPattern, URLResolver, reverse
from django.urls.exceptions import NoReverseMatch

from website.urls import urlpatterns

Parameters = Mapping[str, Any]


def addresses(samples: Parameters, of_page: Mapping[str, Parameters]) -> tuple[dict[str, str], list[str]]:
    """Page → address, and the pages that can't be filled in. `samples` are by parameter; `of_page` go before them."""
    found, left_out = {}, []
    for name, parameters in _patterns(urlpatterns, frozenset()):
        known = {**samples, **of_page.get(name, {})}
        try:
            found[name] = reverse(name, kwargs={parameter: known[parameter] for parameter in parameters})
        except (KeyError, NoReverseMatch):
            left_out.append(name)
    return found, left_out


def _patterns(patterns: list[Any], around: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for one in patterns:
        parameters = around | one.pattern.converters.keys()
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns, parameters)
        elif isinstance(one, URLPattern) and one.name:
            yield one.name, parameters
