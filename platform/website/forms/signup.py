from typing import Any

from allauth.account import forms
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest


class SignupForm(forms.SignupForm):
    def try_save(self, request: HttpRequest) -> Any:
        """Hash the password in any case: an answer's time doesn't tell strangers that an address is taken."""
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])
        return super().try_save(request)
