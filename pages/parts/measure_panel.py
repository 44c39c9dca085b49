"""Where measurements come in: pasted or uploaded; the text stays in the session."""

from __future__ import annotations

from pages.parts.speech import plain, st
from perfmodel.importers.text import MAX_BYTES, decoded
from perfmodel.measurements import FORMATS

HINT = """what,seconds,m,n,k,bytes
copy,0.00079,,,,2000000000
gemm,0.0000104,1,4096,4096,
gemm,0.000236,4096,4096,4096,"""


def pasted() -> str:
    """Draw the text area and the upload; return the text, empty while there is none."""
    text: str = st.text_area(
        f"Paste measurements: {FORMATS}", key="measured.text", placeholder=HINT, height=160, max_chars=MAX_BYTES
    )
    upload = st.file_uploader(
        f"or upload the file (at most {MAX_BYTES:,} bytes)",
        type=["csv", "json", "jsonl", "md", "txt"],
        key="measured.file",
        max_upload_size=1,
    )
    if upload is None:
        return text
    try:
        return decoded(upload.getvalue(), upload.name)
    except ValueError as error:
        st.error(plain(str(error)))
        return ""
