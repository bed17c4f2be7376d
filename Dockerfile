# A worker, and the command line. Debian rather than Alpine: Temporal's native module needs glibc.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
COPY workflows workflows
COPY activities activities
RUN node scripts/run.mjs build && npm prune --omit=dev --no-audit --no-fund

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build --chown=node:node /app/package.json ./
COPY --from=build --chown=node:node /app/node_modules node_modules
COPY --from=build --chown=node:node /app/dist dist
COPY --chown=node:node scripts/worker-health.mjs scripts/worker-health.mjs
USER node
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["worker", "--config", "/config/stageswap.yaml"]
