# One image for every service of the server mode; docker-compose.yml says which command each runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home mmfrm && install -d -o mmfrm -g mmfrm /app /data
WORKDIR /app

# The torch build: empty takes the default (CUDA on x86-64 Linux); the address of an index that pytorch.org names
# takes another, for example its CPU builds where there is no GPU.
ARG TORCH_INDEX=""
COPY requirements.lock ./
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install -c requirements.lock --index-url "$TORCH_INDEX" torch; \
    else pip install -c requirements.lock torch; fi

COPY pyproject.toml README.md LICENSE manage.py ./
COPY mmfrm mmfrm
COPY webapp webapp
COPY workers workers
RUN pip install -c requirements.lock -e '.[web,export]'
COPY templates templates
COPY static static

USER mmfrm
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "workers"]
