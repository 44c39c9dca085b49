"""The frame every page stands in: link <-> Scenario <-> sidebar, page links, notices, the verdict, figures, cards.

A page is one file `NN_Name.py`; its first docstring line is the question it answers and the text of its page link.
Nothing has to be registered anywhere else. Files whose name starts with an underscore are no pages.

    \"\"\"Which operators are limited by what?\"\"\"
    from pages import frame
    from perfmodel.figures import roofline

    page = frame("Roofline", "Which operators are limited by what?")
    phase = page.choice("phase", "Phase", ("decode", "prefill"), "decode")    # travels in the link as phase=decode
    page.metric_row([("Time to first token", show(page.report.ttft_s, "s"), "no queueing")])
    chosen = page.show(roofline.figure(page.report), key="roofline", describe=roofline.describe(page.report), on_select=True)
    page.cards(explain.time_cards(page.report))

What a page may use of `page`:

- `page.scenario`, `page.report`: the frozen inputs and the cached estimate of this run.
- `page.choice(key, label, options, default, *, labels=None, help="")`: a secondary control (segmented, or a select box
  from six options on). `key` is its name in the link and must be a literal; `labels` maps an option to what is shown.
  Options are short strings or whole numbers.
- `page.metric_row(rows)`: headline numbers; a row is (label, text) or (label, text, help). Texts come from `units.show`.
- `page.show(figure, key, *, height=None, describe="", on_select=False)`: a figure given as a plain dict
  {"data": [...], "layout": {...}} with a sentence below it for those who do not see it. With `on_select=True` it
  returns the customdata of the clicked point, or None.
- `page.table(rows, key)`: a table from a list of dicts (column -> text or number).
- `page.cards(cards, *, open_first=False)`: formula cards of `perfmodel.explain`, one expander each. A card has the
  attributes `title`, `latex`, `substituted`, `value`, `unit`, `source`, `confidence` (texts; absent ones are left out).
- `page.notice(text, level="warning")`: a message at the top of the page, level info, warning or error.

Everything else is plain Streamlit below the frame. Rules of the link: on a rerun of the same page, after an edit or
with the link that we wrote, the widgets hold the truth; otherwise the link if there is one; otherwise the last scenario.
"""
