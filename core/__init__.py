"""What a federation is: events, bus, hardware profiles, weights, all contracts, the machines of both sides.

No I/O, no wall clock, no globals. Import from the modules (``from tierwise.core.weights import Weights``); each has one
subject, and its public names are the ones without an underscore.
"""
