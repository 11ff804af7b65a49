"""Transports: how envelopes travel between the coordinator and the devices."""
