from __future__ import annotations

from django.urls import path

from webapp.searches import views

app_name = "searches"
urlpatterns = [
    path("new/", views.new, name="new"),
    path("plan/", views.plan, name="plan"),
    path("<int:pk>/", views.search, name="search"),
    path("<int:pk>/results/", views.results, name="results"),
    path("<int:pk>/points/", views.points, name="points"),
    path("<int:pk>/pause/", views.pause, name="pause"),
    path("<int:pk>/resume/", views.resume, name="resume"),
    path("<int:pk>/stop/", views.stop, name="stop"),
    path("<int:pk>/extend/", views.extend, name="extend"),
    path("<int:pk>/confirm/", views.confirm, name="confirm"),
]
