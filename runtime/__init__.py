"""What a federation is."""
