from allauth.mfa.adapter import DefaultMFAAdapter

from accounts.encryption import decrypt, encrypt


class MFAAdapter(DefaultMFAAdapter):
    """Second factors are encrypted at rest."""

    def encrypt(self, text: str) -> str:
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text)
