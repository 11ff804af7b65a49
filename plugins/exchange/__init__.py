"""Built-in exchanges: those by which groups learn from each other."""
