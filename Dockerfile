# docs/docker.md says how to build and run it. tests/e2e/test_container.py runs these RUN lines in a plain Debian.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# the compiler for the native JPEG decoder
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
COPY pyproject.toml hatch_build.py README.md LICENSE /src/
COPY docs/watcher.1 /src/docs/watcher.1
COPY watcher /src/watcher
RUN python3 -m venv /opt/watcher && /opt/watcher/bin/pip install --no-cache-dir "/src[web,metrics]"
RUN /opt/watcher/bin/python -c "from watcher.render import native; assert native.name() == 'native', native.reason()"

FROM python:${PYTHON}-slim
# tini is PID 1: it passes SIGTERM on to the daemon alone, and reaps what the daemon leaves behind
RUN apt-get update && apt-get install --yes --no-install-recommends tini tzdata && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/watcher /opt/watcher
COPY container/entrypoint container/health /usr/local/bin/
COPY container/config.toml /etc/xdg/watcher/config.toml
# /config/config.toml is the user's config, where there is one; the one in /etc/xdg is for all others
RUN mkdir -p /inbox /output /state /config /etc/container-config && ln -s /config /etc/container-config/watcher \
    && ln -s /opt/watcher/bin/watcher /usr/local/bin/watcher && chmod 755 /usr/local/bin/entrypoint /usr/local/bin/health
ENV XDG_CONFIG_HOME=/etc/container-config STATE_DIRECTORY=/state HOME=/state
VOLUME ["/inbox", "/output", "/state"]
EXPOSE 8424 9464
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/usr/local/bin/health"]
ENTRYPOINT ["/usr/local/bin/entrypoint"]
CMD ["run"]
