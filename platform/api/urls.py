from django.urls import path

from api.segments import SegmentView

urlpatterns = [path("usage/segments/<str:identity>", SegmentView.as_view(), name="usage_segment")]
