"""Built-in selectors: those who choose a round's participants."""
