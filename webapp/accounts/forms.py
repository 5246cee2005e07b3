"""What people type about accounts."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from webapp.accounts import throttling
from webapp.accounts.models import User

PASSWORD_HELP = " ".join(password_validators_help_texts()[1:2])


def _password(label: str, autocomplete: str, help_text: str = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, widget=widget, strip=False, help_text=help_text)


class SignInForm(forms.Form):
    """User name and password; wrong ones and too many tries give one message each."""

    username = forms.CharField(
        label="User name",
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autofocus": True, "autocapitalize": "none"}
        ),
    )
    password = _password("Password", "current-password")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.user: User | None = None
        self.is_throttled = False

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        username, password = data.get("username"), data.get("password")
        if not username or not password:
            return data
        try:
            attempt = throttling.begin(username, self.request.META.get("REMOTE_ADDR") or "")
        except throttling.TooManyAttemptsError as error:
            self.is_throttled = True
            raise ValidationError(f"Too many tries. Wait {error} minutes, then try again.") from None
        user = authenticate(self.request, username=username, password=password)
        if not isinstance(user, User):
            raise ValidationError("The user name or the password is not right.")
        throttling.succeeded(attempt)
        self.user = user
        return data


class NewAccountForm(forms.Form):
    """How somebody who came by a link will be known, and their password."""

    username = forms.CharField(
        label="User name",
        max_length=150,
        validators=[UnicodeUsernameValidator()],
        help_text="For signing in.",
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )
    name = forms.CharField(
        label="Name",
        max_length=150,
        required=False,
        help_text="As others see it.",
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = _password("Password", "new-password", PASSWORD_HELP)
    again = _password("Password again", "new-password")

    def __init__(self, *args: Any, user: User | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_username(self) -> str:
        username = str(self.cleaned_data["username"])
        taken = User.objects.filter(username__iexact=username)
        if self.user is not None:
            taken = taken.exclude(pk=self.user.pk)
        if taken.exists():
            raise ValidationError("Somebody else has this user name.")
        return username

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        password = data.get("password")
        if password and data.get("again") and password != data["again"]:
            self.add_error("again", "The two passwords differ.")
        elif password:
            person = User(username=data.get("username", ""), first_name=data.get("name", ""))
            try:
                validate_password(password, person)
            except ValidationError as error:
                self.add_error("password", error)
        return data


class ProfileForm(forms.Form):
    """How somebody is shown."""

    name = forms.CharField(
        label="Name", max_length=150, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    email = forms.EmailField(
        label="E-mail", required=False, help_text="For colleagues; nothing is sent to it."
    )


class PasswordForm(forms.Form):
    """Another password, by somebody who knows the present one."""

    present = _password("Present password", "current-password")
    password = _password("New password", "new-password", PASSWORD_HELP)
    again = _password("New password again", "new-password")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_present(self) -> str:
        present = str(self.cleaned_data["present"])
        if not self.user.check_password(present):
            raise ValidationError("This is not your present password.")
        return present

    def clean_password(self) -> str:
        password = str(self.cleaned_data["password"])
        validate_password(password, self.user)
        return password

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("password") and data.get("again") and data["password"] != data["again"]:
            self.add_error("again", "The two passwords differ.")
        return data


class InvitationForm(forms.Form):
    """Whom to invite as what."""

    role = forms.ChoiceField(
        label="Role",
        choices=User.Role.choices,
        initial=User.Role.EDITOR,
        help_text="Viewers look, editors make and train, administrators also manage people.",
    )
    email = forms.EmailField(
        label="E-mail",
        required=False,
        help_text="To tell invitations apart. No mail is sent: you pass the link on yourself.",
    )


class RoleForm(forms.Form):
    """Another role."""

    role = forms.ChoiceField(choices=User.Role.choices)
