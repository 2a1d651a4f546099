"""Django's entry for the demo."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The demo project that a first start creates; it has no tables of its own."""

    name = "codestream.demo"
    label = "demo"
