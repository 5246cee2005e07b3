from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from webapp.uploads import views

app_name = "uploads"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.uploads, name="uploads"),
    path("<uuid:pk>", views.upload, name="upload"),
]
