"""Lessons that run: one file per lesson, both languages, every answer computed by the engine when it is asked for."""

from perfmodel.lessons.lesson import CATALOG, Worked, lessons, worked
from perfmodel.lessons.record import LANGUAGES, Lesson, Step

__all__ = ["CATALOG", "LANGUAGES", "Lesson", "Step", "Worked", "lessons", "worked"]
