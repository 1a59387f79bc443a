import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { small } from './client.js';
import { Jobs } from './jobs.js';
import { eventually, projectRoot, Server } from './server.js';
import { SwaggerPage } from './swagger-page.js';

const parameter = (name: string, value: string) => (operation: Locator) =>
  operation.locator(`tr[data-param-name="${name}"] input`).fill(value);

/** A page of many operations is slow where browser and engine share two processors. */
const slowMs = 240_000;

describe('Swagger UI in a browser', () => {
  jest.setTimeout(slowMs);
  let server: Server;
  let page: SwaggerPage;
  beforeAll(async () => {
    server = await Server.ready();
    page = await SwaggerPage.open(server.url);
  });
  afterAll(async () => {
    await page.close();
    expect(await server.stop()).toMatchObject({ code: 0 });
  });

  it('lists every operation of the document', async () => {
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: Record<string, object> };
    const operations = Object.entries(paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(operations.length).toBeGreaterThan(10);
    expect(await page.listed()).toEqual(operations.sort());
  });

  it('draws by its own example, as JSON', async () => {
    const { status, operation } = await page.execute('images-textToImage');
    expect(status).toBe(200);
    expect(await operation.locator('.live-responses-table .response-col_description').last().innerText()).toContain('b64_json');
  });

  it('shows the picture that was drawn from an uploaded one', async () => {
    const { status, operation } = await page.execute('images-imageToImage', async (form) => {
      await form.locator('input[type=file]').setInputFiles(join(projectRoot, 'docs/red-circle.png'));
      await form.locator('.responses-inner tr[data-code="200"] select').first().selectOption('image/jpeg');
    });
    expect(status).toBe(200);
    expect(await page.pictureSize(operation)).toEqual({ width: 256, height: 256 });
  });

  it('reads, cancels and follows jobs, and shows the picture of one', async () => {
    const jobs = new Jobs(server);
    const { id } = await jobs.submit(small);
    await jobs.ended(id);
    expect((await page.execute('jobs-getJob', parameter('id', id))).status).toBe(200);
    expect((await page.execute('jobs-cancelJob', parameter('id', id))).status).toBe(200);
    expect((await page.execute('jobs-streamJobEvents', parameter('id', id))).status).toBe(200);
    const { status, operation } = await page.execute('jobs-getJobImage', async (form) => {
      await parameter('id', id)(form);
      await parameter('k', '0')(form);
    });
    expect(status).toBe(200);
    expect(await page.pictureSize(operation)).toEqual({ width: 64, height: 64 });
  });

  it('asks for all that needs nothing else', async () => {
    const plain = ['getHealth', 'getLiveness', 'getReadiness', 'getStartup'].map((name) => `health-${name}`);
    for (const id of [...plain, 'info-getInfo', 'metrics-getMetrics', 'admin-getLogLevel', 'admin-putLogLevel']) {
      expect([id, (await page.execute(id)).status]).toEqual([id, 200]);
    }
    expect(page.complaints).toEqual([]);
  });

  it('shows an error, and nothing else was wrong on the page', async () => {
    const fresh = await SwaggerPage.open(server.url);
    const unknown = randomUUID();
    const { status, operation } = await fresh.execute('jobs-getJob', parameter('id', unknown));
    expect(status).toBe(404);
    expect(await operation.locator('.live-responses-table').innerText()).toContain('there is no such job');
    // The browser itself tells of the 404.
    expect(fresh.complaints).toEqual([{ text: expect.stringContaining('404'), url: `${server.url}/jobs/${unknown}` }]);
    await fresh.close();
  });

  it('changes the model', async () => {
    expect((await page.execute('admin-unloadModel')).status).toBe(202);
    await eventually('the model is unloaded', async () => {
      const { status } = (await (await fetch(`${server.url}/health`)).json()) as { status: string };
      return status === 'unloaded';
    });
    expect((await page.execute('admin-loadModel')).status).toBe(202);
    expect(page.complaints).toEqual([]);
  });
});
