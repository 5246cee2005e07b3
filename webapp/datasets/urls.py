from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from webapp.datasets import (
    comparing_views,
    duplicate_views,
    export_views,
    face_views,
    preview_views,
    revising_views,
    views,
)

app_name = "datasets"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.index, name="index"),
    path("new", views.new, name="new"),
    path("from-server", views.import_path, name="import_path"),
    path("drawn", views.try_drawn, name="try_drawn"),
    path("<int:pk>/", views.dataset, name="dataset"),
    path("<int:pk>/edit", views.edit, name="edit"),
    path("<int:pk>/retry", views.retry, name="retry"),
    path("<int:pk>/delete", views.delete, name="delete"),
    path("<int:pk>/preview/<int:job>/<int:picture>", preview_views.picture, name="preview_picture"),
    path("<int:pk>/v<int:number>/", views.dataset, name="version"),
    path("<int:pk>/v<int:number>/odd/", views.refusals, name="refusals"),
    path("<int:pk>/v<int:number>/odd.csv", views.refusals_csv, name="refusals_csv"),
    path("<int:pk>/v<int:number>/since/v<int:other>/", comparing_views.compare, name="compare"),
    path("<int:pk>/v<int:number>/download/<str:layout>", export_views.download, name="download"),
    path("<int:pk>/v<int:number>/change", revising_views.edit_faces, name="edit_faces"),
    path("<int:pk>/v<int:number>/alike/", duplicate_views.alike, name="alike"),
    path("<int:pk>/v<int:number>/alike/change", revising_views.change_alike, name="change_alike"),
    path("<int:pk>/v<int:number>/undo", revising_views.undo, name="undo"),
    path("<int:pk>/v<int:number>/make", revising_views.make_version, name="make_version"),
    path("<int:pk>/v<int:number>/remedy", revising_views.remedy, name="remedy"),
    path("<int:pk>/v<int:number>/discard", revising_views.discard, name="discard"),
    path("<int:pk>/v<int:number>/delete", revising_views.delete_version, name="delete_version"),
    path("<int:pk>/v<int:number>/faces/", face_views.faces, name="faces"),
    path("<int:pk>/v<int:number>/faces/<int:index>/", face_views.face, name="face"),
    path("<int:pk>/v<int:number>/faces/<int:index>/image", face_views.pixels, name="pixels"),
]
