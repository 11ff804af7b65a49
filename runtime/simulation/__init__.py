"""Simulation: the production coordinator on virtual time, over devices whose hardware decides how long things take."""
