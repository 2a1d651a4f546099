"""Every address; the only module that knows every app."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

import executions.api_urls
import webhooks.api_urls
import webhooks.receiver_urls
from codestream.api.views import nothing_here

api = [*executions.api_urls.urlpatterns, *webhooks.api_urls.urlpatterns]

urlpatterns = [
    *webhooks.receiver_urls.urlpatterns,
    path("codestream/api/", include(api)),
    path("pipeline/api/", include(api)),
    re_path(r"^(?:codestream|pipeline)/api/", nothing_here),
    path("", RedirectView.as_view(pattern_name="executions:list"), name="home"),
    path("", include("codestream.operations.urls")),
    path("", include("codestream.core.urls")),
    path("", include("codestream.accounts.urls")),
    path("", include("codestream.projects.urls")),
    path("", include("endpoints.urls")),
    path("", include("pipelines.urls")),
    path("", include("executions.urls")),
    path("", include("webhooks.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "codestream.core.views.bad_request"
handler500 = "codestream.core.views.server_error"
