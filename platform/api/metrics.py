"""What the web server knows of the whole, for Prometheus: what waits, what lapsed, what a person must look at."""

import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accounts.models import Alarm
from billing.models import Segment
from hotstate.errors import Unreachable
from hotstate.holds import lapsed_in_all
from hotstate.models import OutboxEntry


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Only for who shows METRICS_TOKEN as a bearer; to others it doesn't exist."""
    shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not hmac.compare_digest(shown.encode(), settings.METRICS_TOKEN.encode()):
        raise Http404
    registry = CollectorRegistry()
    registry.register(_Whole(timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Whole(Collector):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._waiting("outbox", OutboxEntry.objects.aggregate(count=Count("pk"), oldest=Min("created_at")))
        unposted = Segment.objects.unposted()
        yield from self._waiting("segments", unposted.aggregate(count=Count("pk"), oldest=Min("received_at")))
        alarms = GaugeMetricFamily("keymeter_alarms_open", "Open alarms", labels=["kind"])
        for kind, count in Alarm.objects.open().values_list("kind").annotate(Count("pk")):
            alarms.add_metric([kind], count)
        yield alarms
        try:
            yield CounterMetricFamily("keymeter_holds_lapsed", "Holds whose gateway went silent", value=lapsed_in_all())
            yield GaugeMetricFamily("keymeter_valkey_up", "Whether Valkey answers the web server", value=1)
        except Unreachable:
            yield GaugeMetricFamily("keymeter_valkey_up", "Whether Valkey answers the web server", value=0)

    def _waiting(self, name: str, found: dict[str, Any]) -> Iterator[Metric]:
        seconds = (self._now - found["oldest"]).total_seconds() if found["oldest"] else 0.0
        yield GaugeMetricFamily(f"keymeter_{name}_waiting", f"{name.capitalize()} not delivered", value=found["count"])
        yield GaugeMetricFamily(f"keymeter_{name}_oldest_seconds", "How long the oldest waits", value=max(0.0, seconds))


urlpatterns = [path("", metrics, name="metrics")]
