# One image for web, coordinator and workers; compose.yaml chooses which it runs.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 DEBUG=false LOG_FORMAT=json

WORKDIR /app
RUN useradd --system --uid 10001 --user-group --home-dir /app --no-create-home poolwise \
    && mkdir var \
    && chown poolwise:poolwise var

# Before the source, so that a change of the source does not install the packages again. In an environment of its own, so
# that packages of the base image are neither replaced nor used.
COPY requirements.txt .
RUN python -m venv --without-pip /opt/poolwise && pip --python /opt/poolwise/bin/python install --requirement requirements.txt
ENV PATH=/opt/poolwise/bin:$PATH

COPY manage.py ./
COPY project project
COPY poolwise poolwise
COPY jobs jobs
RUN python -m compileall -q project poolwise jobs \
    && SECRET_KEY=used-for-this-step-alone DATABASE_URL=sqlite:///:memory: python manage.py collectstatic --no-input

USER poolwise
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["gunicorn", "project.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "8", \
     "--worker-tmp-dir", "/dev/shm", "--access-logfile", "-", "--no-control-socket"]
