"""Built-in grouping policies: those who divide a fleet."""
