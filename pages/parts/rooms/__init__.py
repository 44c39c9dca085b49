"""Rooms: what a class predicted, kept for some hours on the server and then forgotten.

One interface (`Rooms`) with two homes: SQLite on this machine, or the Redis that `ROOMS_URL` names, which the replicas
behind a proxy share. Participants are random tokens; nothing in a room tells who said what.
"""

from pages.parts.rooms.rules import CODE_LETTERS, LIFE_S, Refused, Rooms, new_token, tidy
from pages.parts.rooms.store import store

__all__ = ["CODE_LETTERS", "LIFE_S", "Refused", "Rooms", "new_token", "store", "tidy"]
