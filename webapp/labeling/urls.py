from __future__ import annotations

from django.urls import path

from webapp.labeling import (
    agreement_views,
    exports,
    making_views,
    photo_views,
    retraining_views,
    review_views,
    second_views,
    views,
    votes,
)

app_name = "labeling"
urlpatterns = [
    path("", views.index, name="index"),
    path("new", views.new, name="new"),
    path("before-after/<int:run>/", retraining_views.before_after, name="before_after"),
    path("before-after/<int:run>/measure", retraining_views.measure, name="measure"),
    path("<int:pk>/", views.batch, name="batch"),
    path("<int:pk>/head", views.head, name="head"),
    path("<int:pk>/faces", views.faces, name="faces"),
    path("<int:pk>/faces/<int:index>", views.face, name="face"),
    path("<int:pk>/photos/<int:picture>/", photo_views.photo, name="photo"),
    path("<int:pk>/photos/<int:picture>/pixels", photo_views.pixels, name="photo_pixels"),
    path("<int:pk>/review/", review_views.page, name="review"),
    path("<int:pk>/review/next", review_views.next_faces, name="next_faces"),
    path("<int:pk>/review/back", review_views.give_back, name="give_back"),
    path("<int:pk>/review/say", review_views.say, name="say"),
    path("<int:pk>/decide/", review_views.decide, name="decide"),
    path("<int:pk>/agreement/", agreement_views.page, name="agreement"),
    path("<int:pk>/agreement/want", agreement_views.want, name="want_labels"),
    path("<int:pk>/second/", second_views.page, name="second"),
    path("<int:pk>/labels.csv", exports.labels_csv, name="csv"),
    path("<int:pk>/labels.jsonl", exports.labels_jsonl, name="jsonl"),
    path("<int:pk>/votes.csv", votes.votes_csv, name="votes"),
    path("<int:pk>/votes.zip", votes.votes_zip, name="votes_zip"),
    path("<int:pk>/faces.zip", exports.folders_zip, name="zip"),
    path("<int:pk>/dataset", making_views.make, name="make_dataset"),
    path("<int:pk>/add/", making_views.choose_target, name="choose_target"),
    path("<int:pk>/add/<int:version_pk>/", making_views.add, name="add"),
    path("<int:pk>/edit", views.edit, name="edit"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
