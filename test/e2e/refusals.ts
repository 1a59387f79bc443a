import { RawClient } from '../fixtures/raw-client.js';
import { fixture, small, type Client } from './client.js';
import type { Server } from './server.js';
import { asResponse, ofJob, type Expected } from './whole-error.js';
import { poison } from './poisoned-model.js';

/** A server on which every one of `refusals` is what happens; it serves a poisoned model. */
export const refusingSettings = [
  'limits.maxUploadBytes=100000',
  'jobs.maxBytes=1500000',
  'model.memoryBudget=1000000000',
  'queue.maxPending=1',
];

type Refusal = [code: string, what: string, ask: (client: Client<Server>) => Promise<Response>, expected: Expected];

/** Errors that one request makes alone. */
export const refusals: readonly Refusal[] = [
  [
    'INVALID_ARGUMENT',
    'a wrong field',
    (client) => client.postJson({ ...small, width: 1000 }),
    told('width', 'must be a multiple of 16, got 1000'),
  ],
  [
    'INVALID_ARGUMENT',
    'two wrong fields',
    (client) => client.postJson({ prompt: '', steps: 4 }),
    {
      message:
        '2 faults: steps is not a field of this route; did you mean num_inference_steps?; ' +
        'prompt must have 1 to 32000 characters, has 0',
      details: [
        { field: 'steps', message: 'is not a field of this route; did you mean num_inference_steps?' },
        { field: 'prompt', message: 'must have 1 to 32000 characters, has 0' },
      ],
    },
  ],
  ['INVALID_ARGUMENT', 'half of a body', (client) => client.postJson('{"prompt":'), { message: 'Unexpected end of JSON input' }],
  [
    'FORBIDDEN',
    'a page from elsewhere',
    (client) => client.postJson(small, { origin: 'https://evil.example' }),
    { message: 'the Origin of the request is not in server.corsOrigins' },
  ],
  [
    'FORBIDDEN',
    'a name that was made to point here',
    async ({ server }) => {
      const raw = await RawClient.connect(server.port);
      await raw.ask('GET', '/info', { Host: 'evil.example', Connection: 'close' });
      return asResponse(await raw.answer());
    },
    { message: 'the Host of the request is not in server.allowedHosts' },
  ],
  ['NOT_FOUND', 'a path that is none', (client) => client.get('/nowhere'), { message: 'there is no GET /nowhere' }],
  ['NOT_FOUND', 'a job that is none', (client) => client.get('/jobs/0'), { message: 'there is no such job' }],
  [
    'METHOD_NOT_ALLOWED',
    'a wrong method',
    ({ server }) => fetch(`${server.url}/jobs/0`, { method: 'PUT' }),
    { message: '/jobs/0 takes GET, HEAD, DELETE, not PUT', headers: { allow: 'GET, HEAD, DELETE' } },
  ],
  [
    'NOT_ACCEPTABLE',
    'a type that is not made here',
    (client) => client.postJson(small, { accept: 'text/html' }),
    { message: 'Accept allows nothing that can be made here: application/json, image/png, image/jpeg, image/webp' },
  ],
  [
    'NOT_ACCEPTABLE',
    'two formats at once',
    (client) => client.postJson({ ...small, output_format: 'png' }, { accept: 'image/webp' }),
    { message: 'output_format is png, and Accept does not allow image/png' },
  ],
  [
    'PAYLOAD_TOO_LARGE',
    'too much JSON',
    (client) => client.postJson(' '.repeat(1024 * 1024 + 1)),
    { message: 'the body has more bytes than JSON may have here (1 MiB)' },
  ],
  [
    'PAYLOAD_TOO_LARGE',
    'too large a file',
    (client) => redraw(client, Buffer.alloc(100_001)),
    ofImage('has more than 100000 bytes'),
  ],
  [
    'UNSUPPORTED_MEDIA_TYPE',
    'a body of another type',
    (client) => client.postJson(small, { 'content-type': 'text/plain' }),
    { message: 'the body must be application/json' },
  ],
  [
    'UNSUPPORTED_MEDIA_TYPE',
    'a file of another type',
    (client) => redraw(client, Buffer.from('GIF89a')),
    ofImage('must be a PNG, JPEG or WebP file; its bytes are none of them'),
  ],
  ['INVALID_IMAGE', 'an empty file', (client) => redraw(client, Buffer.alloc(0)), ofImage('the file is empty')],
  [
    'INVALID_IMAGE',
    'too many pixels',
    (client) => redraw(client, fixture('header-60000x60000.png')),
    ofImage('has 60000x60000 = 3600000000 pixels, at most 50000000 may come'),
  ],
  [
    'INVALID_IMAGE',
    'half of a file',
    (client) => redraw(client, fixture('truncated.png')),
    { ...ofImage('cannot be decoded: vipspng: libpng read error'), headers: ofJob },
  ],
  [
    'REQUEST_TOO_LARGE',
    'more than the memory holds',
    (client) => client.postJson({ ...small, width: 2048, height: 2048 }),
    {
      message:
        /^one image of 2048x2048 needs about \d+ of 954 MiB of memory; the largest size of this shape that fits is (\d+)x\1$/,
      details: [
        {
          field: 'width',
          message: /^and height 2048x2048 need more memory than there is; the largest size of this shape that fits is (\d+)x\1$/,
        },
      ],
    },
  ],
  [
    'REQUEST_TOO_LARGE',
    'more than all jobs may have',
    (client) => client.postJson({ ...small, width: 768, height: 768 }),
    {
      message:
        /^one image of 768x768 needs \d+ bytes to be stored with its results, and all jobs together may have 1500000; ask for a smaller size or fewer images, or the operator for a larger jobs\.maxBytes$/,
      details: [{ field: 'width', message: /^and height 768x768 need more room than all jobs may have; ask for a smaller size/ }],
    },
  ],
  [
    'NUMERICAL_FAILURE',
    'a prompt that meets the poison',
    (client) => client.postJson({ ...small, prompt: `a ${poison} circle` }),
    { message: "NaN or Inf in the result of the stage 'encode'", headers: ofJob },
  ],
];

function redraw(client: Client, file: Buffer): Promise<Response> {
  return client.postForm({ prompt: 'a red circle' }, file);
}

function ofImage(message: string): Expected {
  return told('image', message, ': ');
}

function told(field: string, message: string, separator = ' '): Expected {
  return { message: `${field}${separator}${message}`, details: [{ field, message }] };
}
