import type { OpenAPIObject } from '@nestjs/swagger';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import request from 'supertest';
import { startTestApi } from '../../../../test/fixtures/test-api.js';

const projectRoot = resolve(__dirname, '../../../..');
const keys = [{ name: 'alice', sha256: 'ab'.repeat(32), scopes: ['generate'] }];

interface Verdict {
  exitCode: number;
  problems: { ruleId: string; message: string }[];
}

describe('redocly lint, with redocly.yaml', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'openapi-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  function lint(document: OpenAPIObject): Promise<Verdict> {
    const file = join(folder, 'openapi.json');
    writeFileSync(file, JSON.stringify(document));
    const cli = join(projectRoot, 'node_modules/@redocly/cli/bin/cli.js');
    const args = [cli, 'lint', '--config', join(projectRoot, 'redocly.yaml'), '--format', 'json', file];
    // It asks for newer versions and reports its use, unless it is told not to.
    const env = { PATH: '/usr/bin:/bin', HOME: folder, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' };
    return new Promise((done, fail) => {
      execFile(process.execPath, args, { cwd: folder, env, maxBuffer: 1e8 }, (error, stdout, stderr) => {
        if (!stdout.startsWith('{')) {
          fail(new Error(`the linter gave no verdict: ${stderr}`));
          return;
        }
        const { problems } = JSON.parse(stdout) as Pick<Verdict, 'problems'>;
        done({
          exitCode: error ? Number(error.code) : 0,
          problems: problems.map(({ ruleId, message }) => ({ ruleId, message })),
        });
      });
    });
  }

  async function served(...settings: string[]): Promise<OpenAPIObject> {
    const api = await startTestApi(...settings);
    const { body } = await request(api.app.getHttpServer()).get('/openapi.json').expect(200);
    await api.app.close();
    return body as OpenAPIObject;
  }

  const servers: [string, string[]][] = [
    ['that is open', []],
    ['with API keys', [`auth.keys=${JSON.stringify(keys)}`]],
    ['without metrics', ['metrics.enabled=false']],
  ];
  it.each(servers)('finds nothing in the document of a server %s', async (_kind, settings) => {
    expect(await lint(await served(...settings))).toEqual({ exitCode: 0, problems: [] });
  });

  it('finds what is wrong', async () => {
    const document = await served();
    const { post } = document.paths['/text-to-image']!;
    post!.operationId = 'imageToImage';
    delete post!.summary;
    const content = (post!.requestBody as { content: Record<string, { examples: Record<string, { value: object }> }> }).content;
    content['application/json']!.examples['short']!.value = { prompt: 7 };
    const { exitCode, problems } = await lint(document);
    expect(exitCode).toBe(1);
    const rules = ['no-invalid-media-type-examples', 'operation-operationId-unique', 'operation-summary'];
    expect([...new Set(problems.map(({ ruleId }) => ruleId))].sort()).toEqual(rules);
  });
});
