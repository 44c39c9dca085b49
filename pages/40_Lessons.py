"""What limits a model, why, and by how much? Predict, then see."""

from pages import frame
from pages.parts import lesson as parts
from pages.parts.classroom import Classroom
from pages.parts.speech import spoken, st
from perfmodel.lessons import lessons
from perfmodel.lessons.phrases import phrases

LESSONS = {one.id: one for one in lessons()}
FIRST = "four-bottlenecks"


with frame("Lessons", "What limits a model, why, and by how much? Predict, then see.", scenario_bar=False) as page:
    language = spoken()
    say = phrases(language)
    presenting = page.memo("view", "student") == "presenter"
    above, below = st.container(), st.container()
    with (below if presenting else above).container(horizontal=True, vertical_alignment="bottom"):
        headings = {key: f"{one.number}. {one.heading(language).title}" for key, one in LESSONS.items()}
        lesson = LESSONS[page.choice("lesson", say["lesson"], tuple(LESSONS), FIRST, labels=headings)]
        ids = tuple(step.id for step in lesson.all_steps)
        titles = {step.id: f"{i}. {step.words(language).title}" for i, step in enumerate(lesson.all_steps, 1)}
        step = page.choice("step", say["step"], ids, ids[0], labels=titles)
        with st.popover(say["view"]):
            views = {name: say[name] for name in ("student", "teacher", "presenter")}
            view = page.choice("view", say["view"], tuple(views), "student", labels=views)
            kept = {"progress": say["keep_progress"], "answers": say["keep_answers"]}
            keep = page.choice("keep", say["keep"], tuple(kept), "progress", labels=kept)
        room = Classroom(page, page.memo("room", "none"), f"{lesson.id}/{step}", language)
        room.control(view)

    memos = parts.Memos(page.memo("done", "none"), page.memo("stage", "ask"), with_answers=keep == "answers")
    show = parts.Show(page, lesson, step, language, memos, room)
    with above:
        {"student": show.student, "teacher": show.teacher, "presenter": show.presenter}[view]()
