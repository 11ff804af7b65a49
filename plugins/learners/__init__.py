"""Built-in learners: those who compute with a model."""
