"""Built-in data sources: those who give a device its data."""
