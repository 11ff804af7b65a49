"""Built-in codecs: those that make an update fewer bytes on its way."""
