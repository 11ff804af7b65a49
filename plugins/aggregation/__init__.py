"""Built-in reducers and server optimizers: those who make a model of a cohort's updates."""
