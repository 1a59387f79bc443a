import fc, { type Arbitrary } from 'fast-check';
import type { Operation, Parameter } from './document.js';
import { oddText } from './values.js';

/** Stands for the newest job that the run has seen: what there is to ask for is not known when requests are made up. */
export const recentJob = '{recent-job}';

export interface Target {
  target: string;
  /** Whether it is the operation's path beyond doubt. */
  exact: boolean;
  /** With a query, in which no field may come. */
  hasQuery: boolean;
}

/** As text in a path: halves of surrogate pairs, which have no UTF-8, become U+FFFD. */
function encoded(text: string): string {
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\uFFFD'));
}

function segment({ name }: Parameter): Arbitrary<string> {
  const known = name === 'id' ? fc.constant(recentJob) : fc.constantFrom('0', '1', '3');
  const odd = fc.oneof(
    fc.uuid(),
    oddText.filter((text) => text !== '' && !/^\.{1,2}$/.test(text)).map((text) => encoded(text).slice(0, 3000)),
    fc.constantFrom('-1', '1e3', '99999999999999999999', '%', '%ff', '%00', '%2f', '%2e%2e', '*', '0x0', '01'),
  );
  return fc.oneof({ weight: 2, arbitrary: known }, { weight: 1, arbitrary: odd });
}

function pathOf({ path, parameters }: Operation): Arbitrary<string> {
  const inPath = parameters.filter((parameter) => parameter.in === 'path');
  return fc
    .tuple(...inPath.map(segment))
    .map((values) => inPath.reduce((whole, { name }, index) => whole.replace(`{${name}}`, values[index] ?? ''), path));
}

const query: Arbitrary<string> = fc.oneof(
  oddText.map((text) => encoded(text).slice(0, 2000)),
  fc.constantFrom('a=1', 'a=1&a=2', 'a[b]=c', '__proto__[x]=1', '%ff', '%', '&&&==', '?', 'token=x', 'a'.repeat(7000)),
);

/** The operation's path, at times with a query or spelled in ways that may lead elsewhere. */
export function targetOf(operation: Operation): Arbitrary<Target> {
  const path = pathOf(operation);
  const bends: ((path: string) => string)[] = [
    (plain) => `${plain}/`,
    (plain) => plain.toUpperCase(),
    (plain) => `/${plain}`,
    (plain) => `${plain}/x`,
    (plain) => plain.replace('/', '/./'),
    (plain) => `${plain}%00`,
    (plain) => `${plain}%ff`,
    (plain) => `${plain};x=1`,
    (plain) => plain.slice(0, -1),
    (plain) => plain.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
    (plain) => `http://127.0.0.1${plain}`,
  ];
  return fc.oneof(
    { weight: 16, arbitrary: path.map((target) => ({ target, exact: true, hasQuery: false })) },
    {
      weight: 1,
      arbitrary: fc.tuple(path, query).map(([plain, tail]) => ({ target: `${plain}?${tail}`, exact: true, hasQuery: true })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(path, fc.constantFrom(...bends))
        .map(([plain, bend]) => ({ target: bend(plain), exact: false, hasQuery: false })),
    },
  );
}

/** Places that the document does not speak of. */
export const strayTarget: Arbitrary<string> = fc.oneof(
  fc.constantFrom('/', '/docs', '/docs/', '/docs/x', '/docs-json', '/docs-yaml', '/openapi.json'),
  fc.constantFrom('/docs/swagger-ui.css', '/docs/swagger-ui-init.js', '/docs/favicon-16x16.png'),
  fc.constantFrom(
    '//',
    '/..',
    '/docs/../..',
    '/docs/%2e%2e/%2e%2e/package.json',
    '/docs/..%2f..%2fpackage.json',
    '/docs/%00',
    '/docs/%ff',
    '/docs/.env',
  ),
  fc.constantFrom(
    '/%',
    '/%ff',
    '/%00',
    '*',
    'http://evil.example/info',
    '/health/',
    '/HEALTH',
    '/favicon.ico',
    '/__proto__',
    '/constructor',
    '/metrics/x',
  ),
  fc.constantFrom('/jobs', '/jobs/x', '/admin/model', '/v1/models', '/sdapi/v1/txt2img', '/inpaint'),
  oddText.map((text) => `/${encoded(text).slice(0, 4000)}`),
);
