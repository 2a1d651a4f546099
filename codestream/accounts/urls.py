"""Addresses of the account pages."""

from __future__ import annotations

from django.urls import path

from codestream.accounts import views

app_name = "accounts"

urlpatterns = [
    path("account/sign-in/", views.sign_in, name="sign-in"),
    path("account/sign-out/", views.sign_out, name="sign-out"),
    path("account/language/", views.language, name="language"),
    path("account/tokens/", views.tokens, name="tokens"),
    path("account/tokens/new/", views.new_token, name="new-token"),
    path("account/tokens/<uuid:pk>/revoke/", views.revoke, name="revoke-token"),
]
