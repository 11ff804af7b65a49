"""Built-in tier providers: those who size models."""
