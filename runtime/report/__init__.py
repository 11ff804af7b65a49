"""``report.html``: a run as a page with charts, in one file that needs no network."""
