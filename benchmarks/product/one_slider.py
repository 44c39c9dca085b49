"""The floor: the least that a Streamlit page with a slider and a Plotly figure can be."""

import streamlit as st

steps = st.slider("Batch size [sequences]", 1, 256, 1)
xs = list(range(1, 65))
st.plotly_chart(
    {"data": [{"type": "scatter", "x": xs, "y": [x**0.5 * steps for x in xs]}], "layout": {"height": 370}}, key="figure"
)
