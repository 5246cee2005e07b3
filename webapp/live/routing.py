"""Addresses of the sockets."""

from __future__ import annotations

from django.urls import path

from webapp.live.consumers import EndsConsumer, JobConsumer, JobsConsumer

urlpatterns = [
    path("ws/jobs/", JobsConsumer.as_asgi()),
    path("ws/ends/", EndsConsumer.as_asgi()),
    path("ws/jobs/<int:job_id>/", JobConsumer.as_asgi()),
]
websocket_urlpatterns = urlpatterns
