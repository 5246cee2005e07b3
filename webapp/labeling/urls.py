from __future__ import annotations

from django.urls import path

from webapp.labeling import views

app_name = "labeling"
urlpatterns = [
    path("", views.index, name="index"),
    path("new", views.new, name="new"),
    path("<int:pk>/", views.batch, name="batch"),
    path("<int:pk>/head", views.head, name="head"),
    path("<int:pk>/faces", views.faces, name="faces"),
    path("<int:pk>/faces/<int:index>", views.face, name="face"),
    path("<int:pk>/labels.csv", views.labels_csv, name="csv"),
    path("<int:pk>/edit", views.edit, name="edit"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
