from __future__ import annotations

from django.urls import path

from webapp.registry import scoring_views, views

app_name = "registry"
urlpatterns = [
    path("", views.index, name="index"),
    path("<int:pk>/", views.model, name="model"),
    path("<int:pk>/edit/", views.edit, name="edit"),
    path("<int:pk>/delete/", views.delete, name="delete"),
    path("<int:pk>/leave-out/", views.leave_out, name="leave_out"),
    path("<int:pk>/download/", views.download, name="download"),
    path("<int:pk>/export/", views.export, name="export"),
    path("<int:pk>/export/files/", views.exported, name="exported"),
    path("starter/", views.starter, name="starter"),
    path("scores/<int:pk>/v<int:number>/", scoring_views.scorings, name="scorings"),
    path("scores/<int:pk>/v<int:number>/ask/", scoring_views.score, name="score"),
    path("promote/<int:run>/", views.promote, name="promote"),
]
