# MLflow's server with what it needs for S3, at the versions that perch's tests run. Its own image has no boto3.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.11-slim-bookworm
FROM ${PYTHON_IMAGE}
COPY scripts/services.requirements.txt /requirements.txt
RUN pip install --no-cache-dir --requirement /requirements.txt \
    && mkdir /data && chown 10003:10003 /data
ENV HOME=/tmp MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
USER 10003:10003
EXPOSE 5000
VOLUME /data
ENTRYPOINT ["mlflow", "server", "--host=0.0.0.0", "--port=5000", "--serve-artifacts", "--workers=1"]
