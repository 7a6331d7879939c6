"""The books of the proofs' tests, and the hand that tampers with them."""

from tests.billing.proofs.conftest import books, key, tamper

__all__ = ["books", "key", "tamper"]
