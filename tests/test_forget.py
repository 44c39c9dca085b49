"""The server keeps nothing of widgets that are gone."""

import subprocess
import sys

from streamlit.testing.v1 import AppTest

from pages.parts.registry import ROOT


def _known(app: AppTest) -> tuple[int, int]:
    """Return of how many widgets Streamlit knows what they are, and of how many what their key is."""
    state = app.session_state._state._state  # of the test, of the thread, of Streamlit
    return len(state._new_widget_state.widget_metadata), len(state._key_id_mapper.id_key_mapping)


def test_what_a_visitor_leaves_behind_does_not_grow() -> None:
    """However often the batch changes, no more widgets are known than two runs have drawn.

    A run draws some 44, of which a figure that can be clicked is another one as soon as its data are.
    """
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/1_Roofline.py").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    counts = [_known(slider.set_value(value).run()) for value in range(2, 26)]
    assert not app.exception
    for known in zip(*counts[1:], strict=True):
        assert max(known) < 1.25 * min(known)


def test_a_widget_that_stays_keeps_its_value() -> None:
    """What is known of widgets on the page is not let go: a choice made before lasts over changes of another."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    app.switch_page("pages/1_Roofline.py").run()
    phase = next(group for group in app.button_group if group.label == "Phase")
    phase.set_value("prefill").run()
    slider = next(slider for slider in app.slider if slider.label.startswith("Batch"))
    for value in (2, 3):
        slider.set_value(value).run()
    assert next(group for group in app.button_group if group.label == "Phase").value == "prefill"
    assert not app.exception


def test_threads_share_heaps() -> None:
    """However many threads have come and gone, glibc has not made a heap for each; elsewhere nothing is asked."""
    program = """
import threading
from pathlib import Path
from pages.parts.forget import HEAPS, few_heaps

def heaps():  # glibc reserves 64 MiB for each, at a multiple of that; the first is the process's own
    spans = (line.split() for line in Path("/proc/self/maps").read_text().splitlines())
    starts = (int(span[0].split("-")[0], 16) for span in spans if span[1] == "rw-p" and len(span) < 6)
    return sum(start % 2**26 == 0 for start in starts)

if few_heaps():
    before, meet = heaps(), threading.Barrier(9)
    def work():
        kept = [bytearray(1000) for _ in range(100)]
        meet.wait()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads: thread.start()
    meet.wait()
    for thread in threads: thread.join()
    print(heaps() - before < HEAPS)
else:
    print(True)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
