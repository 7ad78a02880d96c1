"""Clients that requests come from."""

import hashlib
import hmac

from fastapi import Request

from humanlrm.serve.problems import ProblemError


class Clients:
    """Clients that requests come from: an API key if keys are needed, else an address."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys

    @property
    def closed(self) -> bool:
        """True if a key is needed."""
        return bool(self._keys)

    def recognize(self, key: str) -> str | None:
        """Name of a key's client; ``None``: not a key of this service."""
        known = [own for own in self._keys if hmac.compare_digest(own.encode(), key.encode())]
        return f"key-{hashlib.sha256(known[0].encode()).hexdigest()[:12]}" if known else None

    def __call__(self, request: Request) -> str:
        """The client of a request.

        Raises:
            ProblemError: the key is missing or wrong.
        """
        if not self._keys:
            return "anybody" if request.client is None else request.client.host
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        client = self.recognize(key.strip()) if scheme.lower() == "bearer" else None
        if client is None:
            refused = {"WWW-Authenticate": "Bearer"}
            raise ProblemError(401, "an API key is needed: send the header Authorization: Bearer KEY", refused)
        return client
