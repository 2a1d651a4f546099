"""Forms of the account pages: signing in and naming an API token."""

from __future__ import annotations

from django import forms
from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from codestream.accounts.models import User
from codestream.accounts.throttle import SignInThrottle


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
        """Ask the password back end, unless the name rests after too many failures."""
        cleaned = dict(super().clean() or self.cleaned_data)
        name, password = cleaned.get("username"), cleaned.get("password")
        if isinstance(name, str) and isinstance(password, str):
            self.user = self._authenticate(name, password)
        return cleaned

    def _authenticate(self, name: str, password: str) -> User:
        throttle = SignInThrottle(name=name, address=self.request.META.get("REMOTE_ADDR", ""))
        if throttle.rests():
            raise forms.ValidationError(
                _("Too many failed tries. The account rests for 15 minutes; then try again."),
                code="rests",
            )
        user = authenticate(self.request, username=name, password=password)
        if not isinstance(user, User):
            throttle.failed()
            raise forms.ValidationError(
                _(
                    "That name and password do not fit together. "
                    "After five tries the account rests for 15 minutes."
                ),
                code="no_match",
            )
        throttle.succeeded()
        return user


class ApiTokenForm(forms.Form):
    """A name that tells its owner later what the token is used for."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What the token is for, such as the webhook that uses it."),
    )
