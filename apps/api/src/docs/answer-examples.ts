import type { OpenAPIObject } from '@nestjs/swagger';
import type { HealthResponse, ModelHealth, ProbeResponse } from '@app/health';
import type { ImageResponse } from '../images/image.response.js';
import type { InfoResponse } from '../info/info.response.js';
import type { JobResponse } from '../jobs/job.response.js';
import { operationsOf } from './operations.js';

const created = 1_764_000_000;
const id = '5b0c9a52-6d5e-4c0a-9a1c-0c7f4e0d2b11';
const parameters = {
  prompt: 'a red circle on a blue background',
  negative_prompt: ' ',
  width: 256,
  height: 256,
  num_inference_steps: 20,
  true_cfg_scale: 4,
  seed: 1,
  num_images: 1,
  max_sequence_length: 512,
  output_format: 'png',
  output_metadata: true,
};
const drawnWith = { ...parameters, vae_tiling: false, residency: 'resident' };
const timings = { queue_ms: 1, encode_ms: 40, denoise_ms: 900, decode_ms: 60, total_ms: 1010 };
const image = { seed: 1, width: 256, height: 256, format: 'png' } as const;

const drawn = {
  id,
  created,
  model: 'demo',
  // The first bytes of every PNG; a real one is longer.
  images: [{ b64_json: 'iVBORw0KGgo=', ...image }],
  parameters: drawnWith,
  warnings: [],
  timings,
} satisfies ImageResponse;

const running = {
  id,
  kind: 'text-to-image',
  status: 'running',
  created,
  started: created + 2,
  finished: null,
  expires: null,
  attempt: 1,
  position: null,
  eta_ms: 800,
  progress: { stage: 'denoise', image: 0, step: 3, total: 20 },
  parameters,
  warnings: [],
  images: [],
  timings: null,
  error: null,
  links: { self: `/jobs/${id}`, events: `/jobs/${id}/events` },
} satisfies JobResponse;

const waiting = {
  ...running,
  status: 'queued',
  started: null,
  attempt: 0,
  position: 1,
  eta_ms: 1100,
  progress: null,
} satisfies JobResponse;

const completed: JobResponse = {
  ...running,
  status: 'completed',
  finished: created + 3,
  expires: created + 3603,
  eta_ms: null,
  progress: null,
  parameters: drawnWith,
  images: [{ url: `/jobs/${id}/images/0`, ...image, bytes: 51_234 }],
  timings,
};

const cancelled: JobResponse = {
  ...running,
  status: 'cancelled',
  finished: created + 3,
  expires: created + 3603,
  eta_ms: null,
  progress: null,
  error: {
    code: 'CANCELLED',
    type: 'server_error',
    message: 'the job was cancelled',
    param: null,
    request_id: '0b7f4f0c-4a6d-4f0e-9f1c-6f3a1f0f8e21',
  },
};

const info: InfoResponse = {
  name: 'qwen-image-server',
  version: '0.1.0',
  model: { id: 'demo', class: 'QwenImagePipeline', dtype: 'float32', parameters: 8_430_000, sha256: 'ab'.repeat(32) },
  device: { type: 'cpu', name: 'AMD EPYC', threads: 2 },
  runtime: { node: '20.20.2', libtorch: '2.13.0', cuda: null },
  routes: ['/text-to-image', '/image-to-image'],
  defaults: { width: 256, height: 256, num_inference_steps: 20, true_cfg_scale: 4, negative_prompt: ' ' },
  limits: { sizeMultiple: 16, minSteps: 2, minSide: 32, maxSide: 4096, maxPixels: 4_194_304, maxSteps: 200, maxImages: 4 },
};

const ready = { id: 'demo', state: 'ready', progress: null, error: null } satisfies ModelHealth;
const loading: ModelHealth = { id: 'demo', state: 'loading', progress: 0.4, error: null };
const unloading: ModelHealth = { ...ready, state: 'unloading' };

const healthy = {
  status: 'ok',
  model: ready,
  engine: { state: 'ready', restarts: 0, uptime_s: 12 },
  queue: { pending: 0, running: 1, max: 64 },
  disk: { jobs_used: 1_204_224, jobs_max: 2_147_483_648, free: 77_696_316_000, error: null },
  device: { type: 'cpu', name: 'AMD EPYC', memory_used: 400_000_000, memory_total: 8_000_000_000 },
  version: '0.1.0',
  uptime_s: 14,
} satisfies HealthResponse;

const notYet: HealthResponse = {
  ...healthy,
  status: 'loading',
  model: loading,
  engine: { state: 'loading', restarts: 0, uptime_s: 0 },
  queue: { pending: 0, running: 0, max: 64 },
  device: null,
};

function probe(status: 'up' | 'down', indicators: ProbeResponse['details']): ProbeResponse {
  const [info, error] = status === 'up' ? [indicators, {}] : [{}, indicators];
  return { status: status === 'up' ? 'ok' : 'error', info, error, details: indicators };
}

const events = [
  `id: 1\nevent: queued\ndata: ${JSON.stringify({ position: 1, eta_ms: 1100 })}`,
  `id: 2\nevent: started\ndata: ${JSON.stringify({ attempt: 1 })}`,
  `id: 3\nevent: progress\ndata: ${JSON.stringify({ attempt: 1, stage: 'denoise', image: 0, step: 3, total: 20, eta_ms: 800 })}`,
  `id: 4\nevent: completed\ndata: ${JSON.stringify(completed)}`,
].join('\n\n');

const metrics = [
  '# HELP qwen_image_jobs_pending Jobs that wait.',
  '# TYPE qwen_image_jobs_pending gauge',
  'qwen_image_jobs_pending 0',
].join('\n');

/** By operationId and status: what the document shows of every answer that is text. */
const examples: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  textToImage: { 200: drawn, 202: waiting },
  imageToImage: {
    200: { ...drawn, parameters: { ...drawnWith, strength: 0.6 } },
    202: { ...waiting, kind: 'image-to-image', parameters: { ...parameters, strength: 0.6 } },
  },
  getJob: { 200: completed },
  cancelJob: { 200: cancelled },
  streamJobEvents: { 200: `${events}\n\n` },
  getInfo: { 200: info },
  getLogLevel: { 200: { level: 'info' } },
  putLogLevel: { 200: { level: 'debug' } },
  loadModel: { 202: unloading },
  unloadModel: { 202: unloading },
  getMetrics: { 200: `${metrics}\n` },
  getHealth: { 200: healthy, 503: notYet },
  getLiveness: { 200: probe('up', {}), 503: probe('down', {}) },
  getReadiness: {
    200: probe('up', { engine: { status: 'up', state: 'ok' } }),
    503: probe('down', { engine: { status: 'down', state: 'loading' } }),
  },
  getStartup: {
    200: probe('up', { model: { status: 'up' } }),
    503: probe('down', { model: { status: 'down', state: 'loading' } }),
  },
};

export function addAnswerExamples(document: OpenAPIObject): void {
  for (const { operation } of operationsOf(document)) {
    for (const [status, example] of Object.entries(examples[operation.operationId ?? ''] ?? {})) {
      const response = operation.responses[status];
      if (!response || !('content' in response)) continue;
      // Operations of one controller share what is said of them all: each gets an answer of its own.
      const content = { ...response.content };
      for (const [type, media] of Object.entries(content)) if (!type.startsWith('image/')) content[type] = { ...media, example };
      operation.responses[status] = { ...response, content };
    }
  }
}
