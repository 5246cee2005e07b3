"""Every address of the web application."""

from __future__ import annotations

from django.urls import include, path

from webapp import views

handler403 = "webapp.views.forbidden"
handler404 = "webapp.views.not_found"
handler500 = "webapp.views.server_error"

urlpatterns = [
    path("", views.home, name="home"),
    path("activity", views.activity, name="activity"),
    path("offline", views.offline, name="offline"),
    path("service-worker.js", views.service_worker, name="service_worker"),
    path("health", views.health, name="health"),
    path("", include("webapp.accounts.urls")),
    path("jobs/", include("webapp.jobs.urls")),
    path("uploads/", include("webapp.uploads.urls")),
    path("datasets/", include("webapp.datasets.urls")),
    path("experiments/", include("webapp.experiments.urls")),
    path("searches/", include("webapp.searches.urls")),
    path("models/", include("webapp.registry.urls")),
    path("labeling/", include("webapp.labeling.urls")),
    path("webhooks/", include("webapp.news.urls")),
]
