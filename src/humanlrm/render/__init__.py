"""Image formation: from a field and rays to pictures; a field is only two callables, no network is known here."""
