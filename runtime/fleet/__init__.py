"""The devices that a simulated fleet is made of."""
