"""Dossier: everything about one scenario in files that can be handed on: a report, tables, JSON.

The report is one HTML page that opens without a network; the clock is the caller's.

>>> from perfmodel import Scenario
>>> subject = Subject(Scenario(batch=8), address="http://localhost:8501/", date="2026-01-31")
>>> subject.link[:52]
'http://localhost:8501/?v=1&model=llama-3.1-8b&gpu=h1'
>>> tables(subject)["numbers"][0]["name"]
'ttft_s'
"""

from perfmodel.dossier.page import html
from perfmodel.dossier.shown import Shown, shown
from perfmodel.dossier.subject import Subject
from perfmodel.dossier.tables import archive, machine_text, tables

__all__ = ["Shown", "Subject", "archive", "html", "machine_text", "shown", "tables"]
