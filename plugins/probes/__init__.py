"""Built-in probes: those who measure the device that they run on."""
