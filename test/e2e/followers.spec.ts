import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import sharp from 'sharp';
import { keyOf, sentBy, withKeysOf } from './api-keys.js';
import { BrowserPage } from './browser.js';
import { Client, errorOf, small } from './client.js';
import { Jobs } from './jobs.js';
import { allEventsOf, eventsIn, eventsOf, type ServerEvent } from './server-events.js';
import { eventually, newJobsFolder, Server } from './server.js';

/** Until it is cancelled. */
const endless = { ...small, width: 256, height: 256, num_inference_steps: 200 };
const drawing = { ...small, num_inference_steps: 40 };
const named = (events: readonly ServerEvent[], name: string) => events.filter((event) => event.name === name);

/** Every id once, and rising. */
function expectInOrder(events: readonly ServerEvent[]): void {
  const ids = events.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
}

describe('followers of a job', () => {
  let server: Server;
  let jobs: Jobs;
  let page: BrowserPage;
  beforeAll(async () => {
    server = await Server.ready(...withKeysOf('alice', 'bob'));
    jobs = new Jobs(server, sentBy('alice'));
    page = await BrowserPage.open(`${server.url}/openapi.json`);
  });
  afterAll(async () => {
    await page.close();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  /** Connects curl; gives what it gets until the stream ends. */
  async function curl(path: string, ...args: string[]): Promise<() => Promise<ServerEvent[]>> {
    const child = spawn('curl', ['-N', '--silent', ...args, `${server.url}${path}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    const ended = once(child, 'close');
    await once(child.stdout, 'data');
    return async () => {
      expect(await ended).toEqual([0, null]);
      return eventsIn(text);
    };
  }

  async function nodeFetch(id: string): Promise<() => Promise<ServerEvent[]>> {
    const response = await jobs.events(id);
    return () => allEventsOf(response);
  }

  it('see the same events to the same end, and the picture, by curl, fetch and EventSource', async () => {
    const before = await jobs.submit(endless);
    const job = await jobs.submit({ ...drawing, previews: 3 });
    expect(job.links.events).toMatch(/^\/jobs\/[-\da-f]+\/events\?token=[\w-]{40,}$/);
    const logged = server.log.length;
    const connected = await Promise.all([
      curl(`/jobs/${job.id}/events`, '--header', `Authorization: Bearer ${keyOf('alice')}`),
      curl(job.links.events),
      nodeFetch(job.id),
      page.follow(job.links.events),
    ]);
    await jobs.cancel(before.id);
    const followers = await Promise.all(connected.map((rest) => rest()));

    const first = followers[0]!;
    for (const events of followers) {
      expectInOrder(events);
      for (const name of ['started', 'preview', 'completed']) expect(named(events, name)).toEqual(named(first, name));
      expect(events[0]).toMatchObject({ name: 'queued', data: { position: 1 } });
      expect(named(events, 'started')).toMatchObject([{ data: { attempt: 1 } }]);
      expect(named(events, 'progress').length).toBeGreaterThan(1);
      expect(events.at(-1)).toMatchObject({ name: 'completed', data: { id: job.id, status: 'completed' } });
      // A slow one may see less of the progress, but nothing else.
      const told = new Map(followers.flat().map((event) => [event.id, event]));
      for (const event of events) expect(event).toEqual(told.get(event.id));
    }
    const answers = () => server.log.slice(logged).filter(({ message }) => /^GET \/jobs\/\S+\/events/.test(message));
    await eventually('all answers are logged', () => answers().length >= 5);
    // The EventSource asked once more, was told that nothing follows, and let it be.
    expect(
      answers()
        .map(({ message }) => / (\d{3})/.exec(message)?.[1])
        .sort(),
    ).toEqual(['200', '200', '200', '200', '204']);

    const completed = await jobs.read(job.id);
    const [image] = completed.images;
    expect(image!.url).toContain('?token=');
    expect(await page.show(image!.url)).toEqual({ width: 64, height: 64 });
    expect(await page.show(image!.url.replace(/token=./, 'token=-'))).toBeNull();
    const bytes = await (await fetch(`${server.url}${image!.url}`)).arrayBuffer();
    const alone = await new Client(server, sentBy('alice')).file(drawing);
    expect(Buffer.from(bytes).equals(alone)).toBe(true);
  });

  it('see three previews of each picture, of half its side, in order and never twice', async () => {
    const { id } = await jobs.submit({ ...drawing, num_images: 2, previews: 3 });
    const events = await allEventsOf(await jobs.events(id));
    expectInOrder(events);
    const previews = named(events, 'preview');
    const places = previews.map(({ data }) => [data.image, data.index]);
    expect(places.sort()).toEqual([0, 1].flatMap((image) => [0, 1, 2].map((index) => [image, index])));
    for (const { data } of previews) {
      expect(data).toMatchObject({ attempt: 1, width: 32, height: 32, format: 'jpeg' });
      const metadata = await sharp(Buffer.from(String(data.b64_json), 'base64')).metadata();
      expect(metadata).toMatchObject({ width: 32, height: 32, format: 'jpeg' });
    }
    for (const image of [0, 1]) {
      const steps = previews.filter(({ data }) => data.image === image).map(({ data }) => Number(data.step));
      expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
      expect(steps.at(-1)).toBeLessThan(drawing.num_inference_steps);
    }
    // They come closer to the picture.
    const whole = await sharp(await jobs.picture(id))
      .resize(32, 32)
      .removeAlpha()
      .raw()
      .toBuffer();
    const distances = await Promise.all(
      previews.filter(({ data }) => data.image === 0).map(async ({ data }) => distance(whole, String(data.b64_json))),
    );
    expect(distances.at(-1)).toBeLessThan(distances[0]!);
  });

  it('that come late get the state so far, and with Last-Event-ID only what is newer', async () => {
    const { id } = await jobs.submit({ ...drawing, previews: 3 });
    await jobs.ended(id);
    const events = await allEventsOf(await jobs.events(id));
    expectInOrder(events);
    expect(events.map(({ name }) => name).sort()).toEqual(
      ['queued', 'started', 'progress', 'preview', 'preview', 'preview', 'completed'].sort(),
    );
    expect(events.at(-1)).toMatchObject({ name: 'completed', data: { ...(await jobs.read(id)) } });
    for (const [index, event] of events.entries()) {
      const answer = await jobs.events(id, { 'last-event-id': String(event.id) });
      const rest = await allEventsOf(answer);
      expect([answer.status, rest]).toEqual([index === events.length - 1 ? 204 : 200, events.slice(index + 1)]);
    }
    expect((await jobs.events(id, { 'last-event-id': String(events.at(-1)!.id + 1) })).status).toBe(204);
    for (const wrong of ['-1', '1.5', 'x', '1e3', '99999999999999999999']) {
      const refused = await errorOf(await jobs.events(id, { 'last-event-id': wrong }));
      expect(refused).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
    }
  });

  it('are those who may know of it', async () => {
    const job = await jobs.submit(small);
    const anyone = new Jobs(server);
    const bob = new Jobs(server, sentBy('bob'));
    for (const path of [job.links.self, job.links.events]) {
      const bare = path.replace(/\?.*/, '');
      expect((await anyone.ask('GET', path)).status).toBe(200);
      expect((await anyone.ask('GET', bare)).status).toBe(401);
      expect((await bob.ask('GET', bare)).status).toBe(404);
      expect((await anyone.ask('GET', `${bare}?token=`)).status).toBeGreaterThanOrEqual(401);
    }
    const other = await jobs.submit(small);
    const foreign = `/jobs/${other.id}?${new URL(job.links.self, server.url).searchParams.toString()}`;
    expect([401, 404]).toContain((await anyone.ask('GET', foreign)).status);
    // To read, and for nothing else.
    expect([401, 404]).toContain((await anyone.ask('DELETE', job.links.self)).status);
    expect((await jobs.ended(job.id)).status).toBe('completed');
  });
});

async function distance(pixels: Buffer, base64: string): Promise<number> {
  const other = await sharp(Buffer.from(base64, 'base64')).removeAlpha().raw().toBuffer();
  return pixels.reduce((sum, value, i) => sum + Math.abs(value - (other[i] ?? 0)), 0) / pixels.length;
}

describe('followers of a job whose server is killed', () => {
  it('are told the rest by the next one, on ids that go on, and get the picture of an undisturbed run', async () => {
    const folder = newJobsFolder();
    const settings = ['--set', `jobs.directory=${folder}`];
    const wanted = { ...small, num_inference_steps: 200, previews: 3 };
    const first = await Server.ready(...settings);
    const undisturbed = await new Jobs(first).picture((await new Jobs(first).submit(wanted)).id);
    const page = await BrowserPage.open(`${first.url}/openapi.json`);
    const jobs = new Jobs(first);
    const ahead = await jobs.submit(endless);
    const { id, links } = await jobs.submit(wanted);
    const waiting = await jobs.submit({ ...wanted, seed: 2 });
    const inBrowser = await page.follow(links.events);
    await jobs.cancel(ahead.id);
    const before: ServerEvent[] = [];
    const lost = (async () => {
      for await (const event of eventsOf(await jobs.events(id))) {
        before.push(event);
        if (event.name === 'preview' && event.data.index === 1) first.kill('SIGKILL');
      }
    })();
    await expect(lost).rejects.toThrow();
    await first.ended;

    // The EventSource finds it where it was.
    const second = await Server.ready(...settings, '--port', String(first.port));
    const after = await allEventsOf(await jobs.events(id, { 'last-event-id': String(before.at(-1)!.id) }));
    const seen = await inBrowser();
    for (const events of [[...before, ...after], seen]) {
      expectInOrder(events);
      expect(named(events, 'preview').map(({ data }) => data.index)).toEqual([0, 1, 2]);
      expect(named(events, 'started').map(({ data }) => data.attempt)).toEqual([1, 2]);
      expect(events.filter(({ name }) => name === 'completed')).toHaveLength(1);
      expect(events.at(-1)).toMatchObject({ name: 'completed', data: { attempt: 2 } });
    }
    expect((await jobs.picture(id)).equals(undisturbed)).toBe(true);
    expect(await jobs.ended(waiting.id)).toMatchObject({ status: 'completed', attempt: 1 });
    await page.close();
    expect(await second.stop()).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true });
  });
});
