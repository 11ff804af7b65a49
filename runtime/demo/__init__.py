"""The demonstration: groups with fitting models against one model for all, on the same simulated fleet."""
