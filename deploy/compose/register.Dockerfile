# Trains the example and registers it: examples/train_and_register.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.11-slim-bookworm
FROM ${PYTHON_IMAGE}
COPY examples/train_and_register/requirements.txt /requirements.txt
RUN pip install --no-cache-dir --requirement /requirements.txt
COPY examples/curve_forecaster /perch/examples/curve_forecaster
COPY examples/train_and_register /perch/examples/train_and_register
COPY deploy/compose/register.py /perch/
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 MLFLOW_TRACKING_URI=http://mlflow:5000
USER 10003:10003
WORKDIR /tmp
ENTRYPOINT ["python", "/perch/register.py"]
