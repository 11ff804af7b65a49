"""Who may speak, and who may read: keys, signed frames, sealed updates, the registry of devices.

What an attacker at the broker is taken to be able to do: read, drop, delay, repeat and re-target every message, and
make up new ones. What this package keeps from him: being taken for a device or the coordinator (`signing`), having an
old message counted again (`ordering`), and reading an update (`sealing`). What it does not keep from him: dropping
messages, seeing who sends how much and when, and reading the groups' models, which are signed but not sealed.

- `keys`: the key pairs of a device or the coordinator, and their file
- `frames`: the bytes of a frame
- `ordering`: boot counters, and windows against replay
- `signing`: makes and judges frames
- `trust`: the two together, with the files that they need
- `sealing`: encrypts an update to the coordinator
- `registry`: the coordinator's directory of devices
- `bundle`: the file that a device is given
- `acl`: what a broker must allow whom
- `files`: atomic, private files
"""
