from __future__ import annotations

from django.urls import path

from webapp.jobs import views

app_name = "jobs"
urlpatterns = [
    path("", views.index, name="index"),
    path("queue/", views.queue, name="queue"),
    path("<int:pk>/log/", views.log, name="log"),
    path("<int:pk>/stop/", views.stop, name="stop"),
    path("<int:pk>/pause/", views.pause, name="pause"),
    path("<int:pk>/resume/", views.resume, name="resume"),
    path("<int:pk>/place/", views.place, name="place"),
    path("<int:pk>/up/", views.move, {"up": True}, name="move_up"),
    path("<int:pk>/down/", views.move, {"up": False}, name="move_down"),
]
