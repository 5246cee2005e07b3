"""The Celery application. The queue is only a doorbell: every truth is a row (see webapp.jobs)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

app = Celery("mmfrm")
app.config_from_object("django.conf:settings", namespace="CELERY")
