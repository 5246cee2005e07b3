from __future__ import annotations

from django.urls import path

from webapp.experiments import chart_files, downloads, launch_views, run_views, steer_views, views

app_name = "experiments"
urlpatterns = [
    path("", views.index, name="index"),
    path("latest/", views.latest, name="latest"),
    path("<int:pk>/", views.experiment, name="experiment"),
    path("<int:pk>/table/", views.table, name="table"),
    path("<int:pk>/curves/", views.curves, name="curves"),
    path("<int:pk>/curves.csv", chart_files.curves_csv, name="curves_csv"),
    path("<int:pk>/comparison/", views.comparison, name="comparison"),
    path("<int:pk>/edit/", views.edit, name="edit"),
    path("<int:pk>/delete/", views.delete, name="delete"),
    path("sweeps/new/", launch_views.new_sweep, name="new_sweep"),
    path("sweeps/plan/", launch_views.sweep_plan, name="sweep_plan"),
    path("runs/plan/", launch_views.run_plan, name="run_plan"),
    path("runs/new/", run_views.new, name="new_run"),
    path("runs/<int:pk>/", run_views.run, name="run"),
    path("runs/<int:pk>/clone/", run_views.clone, name="clone_run"),
    path("runs/<int:pk>/head/", run_views.head, name="run_head"),
    path("runs/<int:pk>/symptoms/", run_views.symptoms, name="run_symptoms"),
    path("runs/<int:pk>/results/", run_views.results, name="run_results"),
    path("runs/<int:pk>/log/", run_views.log, name="run_log"),
    path("runs/<int:pk>/points/", run_views.run_points, name="run_points"),
    path("runs/<int:pk>/steps/", run_views.run_steps, name="run_steps"),
    path("runs/<int:pk>/hardware/", run_views.run_hardware, name="run_hardware"),
    path("runs/<int:pk>/charts/<str:chart>.csv", chart_files.chart_csv, name="chart_csv"),
    path("runs/<int:pk>/steer/", steer_views.steer, name="steer"),
    path("runs/<int:pk>/steer/<int:number>/withdraw/", steer_views.withdraw, name="withdraw"),
    path("runs/<int:pk>/edit/", run_views.edit, name="edit_run"),
    path("runs/<int:pk>/delete/", run_views.delete, name="delete_run"),
    path("runs/<int:pk>/download/<str:what>", downloads.download, name="download"),
]
