"""Stores: where the log and the blobs are."""
