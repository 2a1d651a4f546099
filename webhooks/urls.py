"""Addresses of the pages of Docker triggers."""

from __future__ import annotations

from django.urls import path

from webhooks import activity_views, views

app_name = "webhooks"

urlpatterns = [
    path("triggers/docker/activity/", activity_views.activity, name="activity"),
    path("triggers/docker/activity/<uuid:pk>/", activity_views.event, name="event"),
    path("triggers/docker/webhooks/", views.webhook_list, name="list"),
    path("triggers/docker/webhooks/new/", views.new, name="new"),
    path("triggers/docker/webhooks/<uuid:pk>/edit/", views.edit, name="edit"),
    path("triggers/docker/webhooks/<uuid:pk>/enabled/", views.change_enabled, name="enabled"),
    path("triggers/docker/webhooks/<uuid:pk>/delete/", views.delete, name="delete"),
    path("triggers/docker/webhooks/<uuid:pk>/mirror/", views.mirror, name="mirror"),
    path("triggers/docker/webhooks/<uuid:pk>/retry/", views.retry, name="retry"),
    path("triggers/docker/webhooks/<uuid:pk>/url/", views.reveal, name="reveal"),
]
