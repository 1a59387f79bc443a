import type { OpenAPIObject } from '@nestjs/swagger';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { apiGuide } from './api-guide.js';
import { offlineDocument } from './offline-document.js';
import { operationsOf } from './operations.js';

const projectRoot = resolve(__dirname, '../../../..');

describe(apiGuide.name, () => {
  let document: OpenAPIObject;
  beforeAll(async () => (document = await offlineDocument(projectRoot)));

  it('is docs/api.md as it stands (else: npm run docs)', () => {
    expect(readFileSync(join(projectRoot, 'docs/api.md'), 'utf8')).toBe(apiGuide(document));
  });

  it('tells of every operation once, each with a command to type, and every link of it leads somewhere', () => {
    const guide = apiGuide(document);
    for (const { path, method } of operationsOf(document)) {
      const [, section, ...more] = guide.split(`\n### ${method.toUpperCase()} ${path}\n`);
      expect(more).toEqual([]);
      expect(section?.split('\n### ')[0]).toMatch(/\n```sh\n[^`]*curl -s [^`]*localhost:3000[^`]*\n```\n/);
    }
    const headings = [...guide.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading.toLowerCase());
    const anchors = headings.map((heading) => heading.replace(/[^\w\- ]/g, '').replaceAll(' ', '-'));
    const links = [...guide.matchAll(/\]\(#([^)]*)\)/g)].map(([, link]) => link);
    expect(links.length).toBeGreaterThan(operationsOf(document).length);
    expect(links.filter((link) => !anchors.includes(link ?? ''))).toEqual([]);
  });
});
