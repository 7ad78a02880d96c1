"""From a field to a file: extract, clean, texture, export; a field is only a callable, no network is known here."""
