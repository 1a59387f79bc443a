import { randomUUID } from 'node:crypto';
import sharp from 'sharp';
import { Client, fixture, small } from '../e2e/client.js';
import { hasEnded, Jobs } from '../e2e/jobs.js';
import { endedOf, readLedger } from '../e2e/ledger.js';
import { eventsOf } from '../e2e/server-events.js';
import { eventually, type Server } from '../e2e/server.js';

const quick = { ...small, num_inference_steps: 4 };
/** Seconds of work, if it were drawn to its end. */
const long = { ...small, width: 192, height: 192, num_inference_steps: 200 };

/** One of each kind of job, the same ones in each round. Every one of them must end as its kind does. */
export class MixedJobs {
  private readonly client: Client;
  private readonly jobs: Jobs;

  private constructor(
    private readonly server: Server,
    private readonly photograph: Buffer,
  ) {
    this.client = new Client(server);
    this.jobs = new Jobs(server);
  }

  static async of(server: Server): Promise<MixedJobs> {
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 30 };
    const background = { width: 1600, height: 1200, channels: 3 as const, background: '#808080', noise };
    return new MixedJobs(server, await sharp({ create: background }).jpeg().toBuffer());
  }

  /** How many jobs a round is. */
  get count(): number {
    return this.kinds().length;
  }

  /** One round, two jobs at a time, and then all is quiet. */
  async round(): Promise<void> {
    const next = this.kinds()[Symbol.iterator]();
    const work = async () => {
      for (const send of next) await send();
    };
    await Promise.all([work(), work()]);
    await eventually('all has ended', async () => {
      const ledger = await readLedger(this.server.url);
      return ledger.accepted === endedOf(ledger);
    });
  }

  private kinds(): (() => Promise<void>)[] {
    const { client, photograph } = this;
    return [
      () => expectStatus(200, client.postJson(quick)),
      () => expectStatus(200, client.postJson({ ...quick, width: 320, height: 256 }, { accept: 'image/png' })),
      () => expectStatus(200, client.postJson({ ...quick, width: 128, height: 192, num_images: 3, output_format: 'jpeg' })),
      () => expectStatus(200, client.postForm({ ...quick, width: 256, height: 256, strength: 0.5 }, fixture('whole.jpg'))),
      () => expectStatus(200, client.postForm({ ...quick, output_format: 'webp' }, photograph)),
      () => this.shownWhileItIsDrawn(),
      () => this.cancelled(),
      () => this.left(),
      () => this.sentTwice(),
      () => expectStatus(504, client.postJson({ ...long, timeout_ms: 200 })),
      () => expectStatus(422, client.postForm(quick, fixture('truncated.png'))),
      () => expectStatus(415, client.postForm(quick, Buffer.alloc(200_000, 'no picture '))),
    ];
  }

  private async shownWhileItIsDrawn(): Promise<void> {
    const { id } = await this.jobs.submit({ ...quick, width: 192, height: 192, num_images: 2, previews: 2 });
    let previews = 0;
    for await (const { name } of eventsOf(await this.jobs.events(id))) if (name === 'preview') previews += 1;
    const { images } = await this.jobs.read(id);
    if (previews !== 4 || images.length !== 2)
      throw new Error(`job ${id} has shown ${previews} previews, ${images.length} images`);
    for (const { url } of images) await expectStatus(200, this.jobs.ask('GET', url));
  }

  private async cancelled(): Promise<void> {
    const { id } = await this.jobs.submit({ ...long, previews: 3 });
    await this.jobs.told(id, ({ name }) => name === 'progress');
    const job = await this.jobs.cancel(id);
    if (!hasEnded(job)) await this.jobs.ended(id);
    const { status } = await this.jobs.read(id);
    if (status !== 'cancelled') throw new Error(`job ${id} is ${status}`);
  }

  private async left(): Promise<void> {
    const leave = new AbortController();
    const gone = this.client.postJson(long, {}, leave.signal).then(
      ({ status }) => status,
      () => 'left',
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    leave.abort();
    if ((await gone) !== 'left') throw new Error('a long job was answered at once');
  }

  private async sentTwice(): Promise<void> {
    const key = { 'idempotency-key': randomUUID() };
    const fields = { ...quick, width: 96, height: 160 };
    await Promise.all([
      expectStatus(200, this.client.postJson(fields, key)),
      expectStatus(200, this.client.postJson(fields, key)),
    ]);
  }
}

async function expectStatus(wanted: number, asked: Promise<Response>): Promise<void> {
  const answer = await asked;
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.status !== wanted) throw new Error(`${wanted} expected, got ${answer.status} ${body.toString().slice(0, 500)}`);
}
