"""Django's entry for accounts."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """People, their API tokens, and how they sign in."""

    name = "codestream.accounts"
    label = "accounts"
    verbose_name = _("Accounts")
