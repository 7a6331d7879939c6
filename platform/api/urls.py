from django.urls import path

from api.keys import KeysView, KeyView, RevokeView, RotateView
from api.management import NothingHere
from api.requests import RequestView
from api.segments import SegmentView
from api.usage_events import UsageBatchView, UsageEventsView

urlpatterns = [
    path("keys", KeysView.as_view(), name="api_keys"),
    path("keys/<str:key>", KeyView.as_view(), name="api_key"),
    path("keys/<str:key>/rotate", RotateView.as_view(), name="api_key_rotate"),
    path("keys/<str:key>/revoke", RevokeView.as_view(), name="api_key_revoke"),
    path("requests/<uuid:request_id>", RequestView.as_view(), name="api_request"),
    path("usage/segments/<str:identity>", SegmentView.as_view(), name="usage_segment"),
    path("usage/events", UsageEventsView.as_view(), name="usage_events"),
    path("usage/events/<str:identity>", UsageBatchView.as_view(), name="usage_batch"),
    path("<path:url>", NothingHere.as_view(), name="api_nothing"),
]
