from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from webapp.accounts import people, views

app_name = "accounts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-in/link/<str:token>", views.use_link, name="use_link"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("welcome", views.welcome, name="welcome"),
    path("invitation/<str:token>", views.accept, name="accept"),
    path("account", views.account, name="account"),
    path("account/password", views.change_password, name="change_password"),
    path("people/", people.people, name="people"),
    path("people/invite", people.invite, name="invite"),
    path("people/invitations/<int:pk>/revoke", people.revoke, name="revoke"),
    path("people/<int:pk>/role", people.change_role, name="change_role"),
    path("people/<int:pk>/deactivate", people.deactivate, name="deactivate"),
    path("people/<int:pk>/activate", people.activate, name="activate"),
    path("people/<int:pk>/link", people.make_link, name="make_link"),
    path("styleguide", people.styleguide, name="styleguide"),
]
