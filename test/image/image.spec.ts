import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, projectRoot } from '../e2e/server.js';
import { Builder } from './builder.js';
import { parseDockerfile, stagesFor } from './dockerfile.js';
import { must } from './machine.js';
import { Container } from './container.js';

/* npm run test:image. Base images come from debootstrap and npm, so what is shown here is shown of the Dockerfile's own lines only. */

const buildTime = 40 * 60_000;
const targets = (process.env['IMAGE_TARGETS'] ?? 'test runtime-cpu').split(/\s+/);
const stages = parseDockerfile(readFileSync(join(projectRoot, 'Dockerfile'), 'utf8'));
const wanted = [...new Set(targets.flatMap((target) => stagesFor(target, stages)))];
const builder = new Builder();

it('knows the targets', () => {
  const names = stages.map(({ name }) => name);
  expect(targets.filter((target) => !names.includes(target))).toEqual([]);
});

it.each(wanted.map((stage) => [stage.name, stage] as const))(
  'runs the lines of %s',
  (_, stage) => {
    if (!builder.build(stage)) process.stderr.write(`${stage.name}: nothing changed since it was made\n`);
  },
  buildTime,
);

// Not describe.each: it takes no empty list.
for (const target of targets.filter((name) => name.startsWith('runtime-'))) {
  describe(target, () => {
    let container: Container;

    afterAll(() => container.remove());

    it('holds what the service needs and no tools', () => {
      const { root } = builder.stage(target);
      const found = (pattern: string, ...folders: string[]) =>
        must('find', [...folders.map((folder) => join(root, folder)), '-xdev', '-name', pattern])
          .split('\n')
          .filter(Boolean);
      for (const tool of ['npm', 'npx', 'g++*', 'cmake', 'python3*']) expect(found(tool, 'usr/bin', 'usr/local/bin')).toEqual([]);
      expect(found('*.h', 'app/.libtorch')).toEqual([]);
      for (const devPackage of ['jest', 'typescript', 'cmake-js']) expect(found(devPackage, 'app/node_modules')).toEqual([]);
      expect(found('*.spec.js', 'app/dist')).toEqual([]);
      expect(found('qwen_image.*', 'app/build')).toHaveLength(1);
      const [kilobytes = ''] = must('du', ['--summarize', '--one-file-system', join(root, 'app')]).split('\t');
      process.stderr.write(`${target}: /app has ${Math.round(Number(kilobytes) / 1024)} MB\n`);
    });

    it('is healthy when its model is loaded', async () => {
      container = await Container.start(builder.stage(target));
      expect(container.healthcheck()).toBe(1);
      await container.healthy();
      await eventually('the log of the load', () => container.log.includes('model loaded'));
    }, 120_000);

    it('runs as a user without rights, under tini, and can write to its volume and to /tmp alone', () => {
      expect(container.status()).toMatchObject({
        Name: 'tini',
        CapEff: '0000000000000000',
        CapBnd: '0000000000000000',
        NoNewPrivs: '1',
      });
      expect(container.status()['Uid']).toBe('1000\t1000\t1000\t1000');
      for (const path of ['/app/x', '/app/dist/x', '/etc/x', '/usr/local/bin/x', '/x']) {
        expect(container.run(['touch', path]).stderr).toContain('Read-only file system');
      }
      for (const path of ['/tmp/x', '/var/lib/qwen-image-server/x'])
        expect(container.run(['touch', path])).toMatchObject({ status: 0 });
    });

    it('draws, and keeps the job in the volume', async () => {
      const answer = await container.draw('a red circle on a blue background');
      expect(answer.status).toBe(200);
      expect([...new Uint8Array(await answer.arrayBuffer()).subarray(1, 4)]).toEqual([...Buffer.from('PNG')]);
      expect(container.run(['ls', `/var/lib/qwen-image-server/jobs/${answer.headers.get('x-job-id') ?? ''}`]).status).toBe(0);
    }, 60_000);

    it('sees a running request through when it is stopped, ends with 0, and is no longer healthy', async () => {
      const answer = container.draw('a red circle on a blue background');
      await container.running();
      container.stop();
      expect((await answer).status).toBe(200);
      expect(await container.ended).toBe(0);
      expect(container.healthcheck()).toBe(1);
    }, 60_000);
  });
}
