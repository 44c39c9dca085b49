"""What the frame is made of. A folder of its own: Streamlit takes every file directly in pages/ for a page."""
