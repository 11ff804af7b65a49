"""The transport over an MQTT broker.

`MqttSettings` says where the broker is, `MqttCoordinator` and `MqttAgent` are the two ends of a federation. The
modules, from the wire up:

- `dialling`, `faults`, `connection`: one client of a broker, kept connected
- `topics`, `kinds`: where what is said
- `deliveries`, `pump`: messages on their way out
- `inbox`, `spooling`, `counters`: envelopes on their way in, and what is dropped
- `publications`, `intake`: what the coordinator publishes, and what devices send it
- `arrivals`, `uplink`, `sealed`: what a device is sent, and what it sends
- `presence`: who is there
- `coordinator`, `agent`: the two ends
"""
