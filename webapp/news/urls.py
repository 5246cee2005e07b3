from __future__ import annotations

from django.urls import path

from webapp.news import views

app_name = "news"
urlpatterns = [
    path("", views.webhooks, name="webhooks"),
    path("<int:pk>/", views.webhook, name="webhook"),
    path("<int:pk>/deliveries/", views.deliveries, name="deliveries"),
    path("<int:pk>/test/", views.test, name="test_webhook"),
    path("<int:pk>/secret/", views.new_secret, name="new_secret"),
    path("<int:pk>/delete/", views.delete, name="delete_webhook"),
]
