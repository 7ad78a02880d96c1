"""Image formation: from a field and rays to pictures. A field is only a few callables; no network is known here."""
