# The image of perch: one binary, ONNX Runtime, and what these two are linked against. No shell, no package manager.
#
#   scripts/image                                    build it, start it, ask it: docker, podman or buildah
#   docker build --tag perch .                       for CPUs, from source
#   docker build --tag perch:gpu --target gpu .      for NVIDIA GPUs: ONNX Runtime with CUDA 13 and cuDNN
#   docker build --build-arg BINARY=given-binary …    with the binary at dist/perch instead of a build
#   docker build --build-arg LIBRARY=given-library … with the library in dist/onnxruntime instead of a download
#
# What a stage is called is chosen by an argument, so that a builder makes only what is needed.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG PYTHON_IMAGE=docker.io/library/python:3.12.11-slim-bookworm
# Its libc is the one that goes into the image: the binary must have been linked against one that is as old, or older.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-20250908-slim
ARG BINARY=build
ARG LIBRARY=fetch
ARG GPU_LIBRARY=fetch-gpu

# The dependencies, in layers of their own: they are built again when a manifest changes, not when code does.
FROM ${RUST_IMAGE} AS build
# ring, aws-lc and SQLite are C.
RUN if ! command -v cc >/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make \
        && rm -rf /var/lib/apt/lists/*; \
    fi
# The image's own toolchain: rust-toolchain.toml asks for clippy and rustfmt, too, which nobody runs here.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY rust-toolchain.toml Cargo.toml Cargo.lock ./
COPY router/Cargo.toml router/
COPY router/store/Cargo.toml router/store/
COPY models/Cargo.toml models/
COPY models/onnx/Cargo.toml models/onnx/
COPY server/Cargo.toml server/
COPY tests/kit/Cargo.toml tests/kit/
# Empty crates in the place of ours.
RUN for crate in server router router/store models models/onnx tests/kit; do \
        mkdir -p $crate/src && touch $crate/src/lib.rs; \
    done \
    && echo 'fn main() {}' > server/src/main.rs \
    && cargo build --release --locked --bin perch
COPY . .
# cargo goes by times, and those of the checkout may be older than the empty crates.
RUN find server router models tests -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin perch \
    && mkdir /out && cp target/release/perch /out/perch

# The same from the build context.
FROM ${BASE_IMAGE} AS given-binary
COPY dist/perch /out/perch

# ONNX Runtime from its wheel, by the pinned hash.
FROM ${PYTHON_IMAGE} AS fetch
COPY scripts/onnxruntime scripts/onnxruntime.cpu.txt /perch/scripts/
RUN PERCH_CACHE=/tmp/cache /perch/scripts/onnxruntime --dir /out

FROM ${BASE_IMAGE} AS given-library
COPY dist/onnxruntime/ /out/

FROM ${PYTHON_IMAGE} AS fetch-gpu
COPY scripts/onnxruntime scripts/onnxruntime.gpu.txt /perch/scripts/
RUN PERCH_CACHE=/tmp/cache /perch/scripts/onnxruntime --gpu --dir /out && rm -rf /tmp/cache

# From here on by names that do not tell how they came.
FROM ${BINARY} AS binary
FROM ${LIBRARY} AS library
FROM ${GPU_LIBRARY} AS library-gpu

# A root with what the binary and the library need, found by the loader itself.
FROM ${BASE_IMAGE} AS root
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    || { apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
        && rm -rf /var/lib/apt/lists/*; }
COPY scripts/image-root /
COPY --from=binary /out/perch /image/usr/bin/perch
COPY --from=library /out/ /image/usr/lib/perch/
RUN /image-root /image

FROM ${BASE_IMAGE} AS root-gpu
RUN test -s /etc/ssl/certs/ca-certificates.crt \
    || { apt-get update && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
        && rm -rf /var/lib/apt/lists/*; }
COPY scripts/image-root /
COPY --from=binary /out/perch /image/usr/bin/perch
COPY --from=library-gpu /out/ /image/usr/lib/perch/
RUN /image-root /image

# What both images say about themselves.
FROM scratch AS settings
# Below the configuration file, but for the address, without which nobody outside the container would get in.
ENV PATH=/usr/bin \
    HOME=/var/lib/perch \
    XDG_CACHE_HOME=/var/cache \
    XDG_STATE_HOME=/var/lib \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    ORT_DYLIB_PATH=/usr/lib/perch/libonnxruntime.so \
    PERCH__SERVER__LISTEN=0.0.0.0:8000
# A number: Kubernetes' runAsNonRoot cannot look names up.
USER 10001:10001
EXPOSE 8000 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5m --retries=3 CMD ["/usr/bin/perch", "healthcheck"]
ENTRYPOINT ["/usr/bin/perch"]
CMD ["serve"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="perch" \
    org.opencontainers.image.description="A model server that rolls new model versions out safely" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}"

FROM settings AS gpu
# What NVIDIA's container toolkit brings in from the host: the driver.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/usr/lib/perch:/usr/lib/x86_64-linux-gnu:/usr/lib64
COPY --from=root-gpu /image/ /
COPY --from=root-gpu --chown=10001:10001 /empty/ /var/cache/perch/
COPY --from=root-gpu --chown=10001:10001 /empty/ /var/lib/perch/
# All that is ever written to: the rest may be read-only.
VOLUME ["/var/cache/perch", "/var/lib/perch", "/tmp"]

FROM settings AS cpu
COPY --from=root /image/ /
COPY --from=root --chown=10001:10001 /empty/ /var/cache/perch/
COPY --from=root --chown=10001:10001 /empty/ /var/lib/perch/
VOLUME ["/var/cache/perch", "/var/lib/perch", "/tmp"]
