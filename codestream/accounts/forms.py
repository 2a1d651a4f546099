"""Forms of the account pages: signing in and naming an API token."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.accounts.services import prove_account
from codestream.accounts.throttle import Purpose
from codestream.core.client_address import client_address
from codestream.core.errors import Refused


class SignInForm(forms.Form):
    """User name or e-mail and password; after validation ``user`` is the one who signs in."""

    username = forms.CharField(
        label=_("User name or e-mail"),
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )
    password = forms.CharField(
        label=_("Password"),
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    remember = forms.BooleanField(label=_("Keep me signed in on this computer"), required=False)

    def __init__(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.request = request
        self.user: User | None = None

    def clean(self) -> dict[str, object]:
        """Prove the account, unless it rests after too many failures."""
        cleaned = dict(super().clean() or self.cleaned_data)
        name, password = cleaned.get("username"), cleaned.get("password")
        if isinstance(name, str) and isinstance(password, str):
            self.user = self._authenticate(name, password)
        return cleaned

    def _authenticate(self, name: str, password: str) -> User:
        address = client_address(self.request)
        try:
            return prove_account(
                name=name, password=password, address=address, purpose=Purpose.SIGN_IN
            )
        except Refused as refusal:
            raise forms.ValidationError(refusal.user_message, code=refusal.code) from refusal


class ApiTokenForm(forms.Form):
    """A name that tells its owner later what the token is used for."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What the token is for, such as the webhook that uses it."),
    )
