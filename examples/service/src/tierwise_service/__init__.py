"""A web service that coordinates federations: an example to copy and change."""
