# The service: docker build -t humanlrm . && docker run -p 127.0.0.1:7860:7860 -v humanlrm-data:/data humanlrm
FROM python:3.11-slim

RUN useradd --create-home humanlrm && install -d -o humanlrm /data
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# Options of pip, e.g. the index of torch's smaller builds without CUDA.
ARG PIP_OPTIONS=""
RUN pip install --no-cache-dir $PIP_OPTIONS -c constraints.txt '.[serve,heif,usd]'

USER humanlrm
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=2m CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/healthz')"]
# Inside the container all addresses; which of them others reach is up to `docker run -p`.
CMD ["humanlrm", "serve", "--host", "0.0.0.0", "--data", "/data"]
