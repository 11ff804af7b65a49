"""Built-in stop rules: those who end a group's federation."""
