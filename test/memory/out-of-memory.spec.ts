import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import sharp from 'sharp';
import { Client, small, type ErrorBody } from '../e2e/client.js';
import { Jobs } from '../e2e/jobs.js';
import { endedOf, readLedger } from '../e2e/ledger.js';
import { addressSpaceBytes } from '../e2e/memory.js';
import { Server } from '../e2e/server.js';

/*
 * The engine host under a limit of its address space, which is set while it runs: what it has, and some room. Whatever needs more is
 * answered, and nothing else changes: neither the next pictures, nor the process that draws them.
 */

const mebibyte = 1024 ** 2;
/** A small picture takes some 10 MiB, and 64 stay free for JavaScript and libraries (native/pipeline/headroom.h). */
const room = 128 * mebibyte;
/** Fit the machine, so they are admitted. What is wider than the room: the second already in the first step, the first when it is decoded. */
const large = { ...small, width: 1024, height: 1024, num_inference_steps: 2, true_cfg_scale: 1 };
const huge = { ...small, width: 2048, height: 2048 };
const contract = {
  code: 'OUT_OF_MEMORY',
  type: 'server_error',
  message: 'the memory does not hold this request just now',
  param: null,
};

describe('an engine host that runs out of memory', () => {
  let server: Server;
  let client: Client;
  let host: number;
  let asBefore: Buffer;
  let photograph: Buffer;

  beforeAll(async () => {
    server = await Server.ready();
    client = new Client(server);
    host = server.hostPid();
    // 45 megapixels in a file of some 100 kB: 135 MB once it is unpacked, more than the room.
    photograph = await sharp({ create: { width: 9000, height: 5000, channels: 3, background: '#4080c0' } })
      .jpeg()
      .toBuffer();
  });
  beforeEach(async () => (asBefore = await client.file(small)));
  afterEach(async () => {
    raiseLimit();
    expect(await client.file(small)).toEqual(asBefore);
    expect(server.hostPid()).toBe(host);
  });
  afterAll(async () => {
    const ledger = await readLedger(server.url);
    expect(ledger.accepted).toBe(endedOf(ledger));
    expect(await (await client.get('/health')).json()).toMatchObject({ status: 'ok', engine: { restarts: 0 } });
    expect((await server.stop()).code).toBe(0);
  });

  function limitTo(bytes: number | 'unlimited'): void {
    // The soft limit alone: to raise a hard one takes privileges.
    execFileSync('prlimit', ['--pid', String(host), `--as=${bytes}:`]);
  }

  function limitRoom(bytes: number): void {
    limitTo(addressSpaceBytes(host) + bytes);
  }

  function raiseLimit(): void {
    limitTo('unlimited');
  }

  async function expectOutOfMemory(answer: Response): Promise<void> {
    const { error } = (await answer.json()) as { error: ErrorBody };
    expect({ status: answer.status, error }).toEqual({
      status: 503,
      error: { ...contract, request_id: answer.headers.get('x-request-id') },
    });
    expect(answer.headers.get('content-type')).toContain('application/json');
    // Worth another try, which clients take from the status.
    expect(answer.headers.get('x-should-retry')).toBeNull();
  }

  it('answers, and draws what fits, again and again', async () => {
    limitRoom(room);
    for (let round = 0; round < 3; round++) {
      await expectOutOfMemory(await client.postJson(huge));
      expect(await client.file(small)).toEqual(asBefore);
      expect(await client.file(small)).toEqual(asBefore);
    }
  });

  it('draws sizes that it has never drawn, before and after', async () => {
    limitRoom(room);
    for (const side of [96, 144, 208]) {
      await expectOutOfMemory(await client.postJson({ ...huge, height: 2048 - side }));
      expect((await client.draw({ ...small, width: side }))[0]).toMatchObject({ width: side, height: 64 });
    }
  });

  it('has no room for a large start picture, and has it later', async () => {
    limitRoom(room);
    await expectOutOfMemory(await client.postForm(small, photograph));
    await expectOutOfMemory(await client.postForm(small, photograph));
    expect(await client.file(small)).toEqual(asBefore);
    raiseLimit();
    expect(await client.redraw(small, photograph)).toMatchObject({ width: 64, height: 64 });
  });

  it('draws nothing while it has next to no room, and then as before', async () => {
    limitRoom(8 * mebibyte);
    await expectOutOfMemory(await client.postJson(huge));
    // What the C library's heap had free has been given back: now that is no room either.
    limitRoom(8 * mebibyte);
    for (const fields of [small, { ...small, num_images: 4 }, small]) await expectOutOfMemory(await client.postJson(fields));
    await expectOutOfMemory(await client.postForm(small, photograph));
  });

  // The last one: what the host took for a large picture it keeps at hand, and does not need to ask for again.
  it('ends jobs that nobody waits for, and draws what was refused when there is room again', async () => {
    const jobs = new Jobs(server);
    limitRoom(room);
    const failing = await jobs.submit({ ...huge, num_images: 2, previews: 1 });
    const next = await jobs.submit(small);
    expect(await jobs.ended(failing.id)).toMatchObject({ status: 'failed', attempt: 1, error: contract });
    expect(await jobs.ended(next.id)).toMatchObject({ status: 'completed' });
    expect(await jobs.picture(next.id)).toEqual(asBefore);

    const key = { 'idempotency-key': randomUUID() };
    await expectOutOfMemory(await client.postJson(large, key));
    raiseLimit();
    expect((await client.postJson(large, key)).status).toBe(200);
  });
});
