"""Encryption at rest of what Keymeter must be able to read again: upstream credentials, second factors."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


def encrypt(plain: str) -> str:
    """Encrypt with the current key (the first of ENCRYPTION_KEYS)."""
    return _fernet().encrypt(plain.encode()).decode()


def decrypt(token: str) -> str:
    """Decrypt with whichever key fits. Raises ValueError where none does."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken:
        raise ValueError("none of ENCRYPTION_KEYS decrypts this; enter it again") from None


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
