"""Secrets that travel in links. Only their hashes are stored, so a copy of the database opens nothing."""

from __future__ import annotations

import hashlib
import secrets


def fresh() -> tuple[str, str]:
    """A new token (256 bits, safe in addresses) and the hash to store."""
    token = secrets.token_urlsafe(32)
    return token, hash_of(token)


def hash_of(token: str) -> str:
    """What is stored of a token. A plain hash suffices: a random token cannot be guessed from it."""
    return hashlib.sha256(token.encode()).hexdigest()
