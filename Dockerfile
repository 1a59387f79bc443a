# Images of qwen-image-server (docs/deployment.md):
#   docker build --target runtime-cpu  -t qwen-image-server:0.1.0-cpu .
#   docker build --target runtime-cuda -t qwen-image-server:0.1.0-cuda .
#   docker build --target test .
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS build-tools
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils cmake g++ ninja-build python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
# Every stage works here: the addon finds libtorch by this absolute path.
WORKDIR /app

FROM build-tools AS dependencies
COPY package.json package-lock.json .npmrc ./
RUN npm ci --include=dev

FROM build-tools AS runtime-dependencies
COPY package.json package-lock.json .npmrc ./
# The compiler is an optional peer of @nestjs/swagger, for a plugin that is not used.
RUN npm ci --omit=dev && rm -r node_modules/typescript

FROM dependencies AS typescript
COPY nest-cli.json tsconfig.json ./
COPY apps apps
COPY libs libs
RUN npm run build:ts

FROM build-tools AS libtorch-cpu
ARG LIBTORCH_CPU_INDEX
COPY scripts/fetch-libtorch.mjs scripts/libtorch-load-check.c scripts/libtorch.pins.json scripts/
RUN LIBTORCH_VARIANT=cpu node scripts/fetch-libtorch.mjs

# Brings its CUDA libraries itself, so it needs no CUDA base image; the driver's library comes with the container runtime.
FROM build-tools AS libtorch-cuda
COPY scripts/fetch-libtorch.mjs scripts/libtorch-load-check.c scripts/libtorch.pins.json scripts/
RUN LIBTORCH_VARIANT=cu130 node scripts/fetch-libtorch.mjs

FROM libtorch-cpu AS native-cpu
COPY --from=dependencies /app/node_modules node_modules
COPY package.json CMakeLists.txt ./
COPY scripts/build-native.sh scripts/steps.sh scripts/
COPY native native
RUN scripts/build-native.sh

FROM libtorch-cuda AS native-cuda
COPY --from=dependencies /app/node_modules node_modules
COPY package.json CMakeLists.txt ./
COPY scripts/build-native.sh scripts/steps.sh scripts/
COPY native native
RUN scripts/build-native.sh

# Types, unit tests and the addon's own; what needs a browser or a second process of the service is left to `npm test`.
FROM native-cpu AS test
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY . .
COPY --from=typescript /app/dist dist
RUN npm run check && npx jest --selectProjects unit addon

FROM node:${NODE_VERSION}-bookworm-slim AS runtime
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    # Package managers of the base image: nothing here runs them.
    && rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn* \
    && install --directory --owner 1000 --group 1000 --mode 0700 /var/lib/qwen-image-server
WORKDIR /app
ENV NODE_ENV=production \
    QWEN_SERVER_HOST=0.0.0.0 \
    QWEN_SERVER_PORT=3000 \
    QWEN_JOBS_DIRECTORY=/var/lib/qwen-image-server/jobs
COPY package.json LICENSE THIRD_PARTY_LICENSES.md ./
COPY config config
COPY models/demo models/demo
COPY --from=runtime-dependencies /app/node_modules node_modules
COPY --from=typescript /app/dist dist
# The base image's `node`, as a number: Kubernetes cannot tell whether a name is root.
USER 1000:1000
VOLUME /var/lib/qwen-image-server
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.QWEN_SERVER_PORT}/health/ready`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# tini reaps what the engine host leaves and passes SIGTERM on.
ENTRYPOINT ["/usr/bin/tini", "--", "node", "dist/apps/api/src/main.js"]

FROM runtime AS runtime-cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=libtorch-cuda /app/.libtorch/nvidia .libtorch/nvidia
COPY --from=libtorch-cuda /app/.libtorch/torch/lib .libtorch/torch/lib
COPY --from=native-cuda /app/build/native/qwen_image.node build/native/

FROM runtime AS runtime-cpu
COPY --from=libtorch-cpu /app/.libtorch/torch/lib .libtorch/torch/lib
COPY --from=native-cpu /app/build/native/qwen_image.node build/native/
