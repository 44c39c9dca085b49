# The dashboard as one process. All state is in the link, so any number of these can stand behind a proxy.
#   docker build -t perfmodel . && docker run --rm -p 8501:8501 --read-only --tmpfs /tmp perfmodel
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
COPY requirements.txt requirements-rooms.txt ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    -r requirements.txt -r requirements-rooms.txt

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin perfmodel
COPY --from=build /venv /venv
WORKDIR /app
COPY app.py LICENSE ./
COPY .streamlit .streamlit
COPY hardware_specs hardware_specs
COPY perfmodel perfmodel
COPY pages pages
# Compiled once here: the running container needs no place to write them.
RUN /venv/bin/python -m compileall -q /app
ENV HOME=/tmp PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=2)"]
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0", "--server.port", "8501"]
