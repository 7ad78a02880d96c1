"""The reporter: rows of measured cases to JSON, Markdown, an HTML page and contact sheets; two reports compared."""
