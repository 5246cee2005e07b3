from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from webapp.uploads import key_views, views

app_name = "uploads"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.uploads, name="uploads"),
    path("key", key_views.key, name="key"),
    path("key/revoke", key_views.revoke, name="revoke_key"),
    path("<uuid:pk>", views.upload, name="upload"),
]
