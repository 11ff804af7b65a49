"""The transport over an MQTT broker."""
