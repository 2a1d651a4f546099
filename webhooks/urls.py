"""Addresses of the pages of Docker triggers."""

from __future__ import annotations

from django.urls import path

from webhooks import activity_views, mirror_views, token_views, try_views, views

app_name = "webhooks"

urlpatterns = [
    path("triggers/docker/activity/", activity_views.activity, name="activity"),
    path("triggers/docker/activity/<uuid:pk>/", activity_views.event, name="event"),
    path("triggers/docker/activity/<uuid:pk>/rerun/", activity_views.rerun, name="rerun"),
    path("triggers/docker/webhooks/", views.webhook_list, name="list"),
    path("triggers/docker/webhooks/new/", views.new, name="new"),
    path("triggers/docker/webhooks/new/endpoint/", views.create_endpoint, name="new-endpoint"),
    path("triggers/docker/webhooks/token/", token_views.token, name="token"),
    path("triggers/docker/webhooks/<uuid:pk>/edit/", views.edit, name="edit"),
    path(
        "triggers/docker/webhooks/<uuid:pk>/edit/endpoint/",
        views.create_endpoint,
        name="edit-endpoint",
    ),
    path("triggers/docker/webhooks/new/try/", try_views.try_form, name="try-new"),
    path("triggers/docker/webhooks/<uuid:pk>/edit/try/", try_views.try_form, name="try-form"),
    path("triggers/docker/webhooks/<uuid:pk>/try/", try_views.try_webhook, name="try"),
    path("triggers/docker/webhooks/<uuid:pk>/enabled/", views.change_enabled, name="enabled"),
    path("triggers/docker/webhooks/<uuid:pk>/delete/", views.delete, name="delete"),
    path("triggers/docker/webhooks/<uuid:pk>/mirror/", mirror_views.mirror, name="mirror"),
    path("triggers/docker/webhooks/<uuid:pk>/retry/", mirror_views.retry, name="retry"),
    path("triggers/docker/webhooks/<uuid:pk>/check/", mirror_views.check, name="check"),
    path("triggers/docker/webhooks/<uuid:pk>/repair/", mirror_views.repair, name="repair"),
    path("triggers/docker/webhooks/<uuid:pk>/keep/", mirror_views.keep, name="keep"),
    path("triggers/docker/webhooks/<uuid:pk>/pasted/", mirror_views.pasted, name="pasted"),
    path("triggers/docker/hooks/<uuid:pk>/retry/", mirror_views.retry_hook, name="retry-hook"),
    path("triggers/docker/hooks/<uuid:pk>/forget/", mirror_views.forget_hook, name="forget-hook"),
    path("triggers/docker/webhooks/<uuid:pk>/url/", views.reveal, name="reveal"),
]
