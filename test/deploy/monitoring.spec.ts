import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Client, small } from '../e2e/client.js';
import { Server } from '../e2e/server.js';
import { groupingsOf, selectorsOf } from './promql.js';
import { deployFolder, run } from './tools.js';

const folder = join(deployFolder, 'monitoring');

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { uid: string };
  targets?: { expr: string; refId: string; datasource: { uid: string } }[];
}

interface Dashboard {
  uid: string;
  panels: Panel[];
  templating: { list: { name: string; query: string | { query: string } }[] };
}

interface Rules {
  groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[];
}

const dashboard = JSON.parse(readFileSync(join(folder, 'grafana/qwen-image-server.json'), 'utf8')) as Dashboard;
const { groups } = parse(readFileSync(join(folder, 'alerts.yml'), 'utf8')) as Rules;
const rules = groups.flatMap((group) => group.rules);
const charts = dashboard.panels.filter(({ type }) => type !== 'row');

const queries: [string, string][] = [
  ...rules.map(({ alert, expr }): [string, string] => [`alert ${alert}`, expr]),
  ...charts.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, refId }): [string, string] => [`panel ${title}, ${refId}`, expr]),
  ),
];

/** Grafana fills these in. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
}

describe('what Prometheus is told', () => {
  it.each([
    ['rules', ['check', 'rules', 'alerts.yml'], /SUCCESS: \d+ rules found/],
    ['configuration', ['check', 'config', 'prometheus.yml'], /is valid prometheus config file syntax/],
    ["rules' own tests", ['test', 'rules', 'alerts.test.yml'], /Unit Testing: {2}alerts\.test\.yml\n {2}SUCCESS/],
  ])('promtool accepts the %s', (_, args, said) => {
    const { status, text } = run('promtool', args, { cwd: folder });
    expect(text).toMatch(said);
    expect(status).toBe(0);
  });

  it('every alert has a test in which it comes, and one in which it does not', () => {
    const { tests } = parse(readFileSync(join(folder, 'alerts.test.yml'), 'utf8')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const cases = tests.flatMap(({ alert_rule_test }) => alert_rule_test);
    const tested = (comes: boolean) =>
      [...new Set(cases.filter(({ exp_alerts }) => exp_alerts.length > 0 === comes).map(({ alertname }) => alertname))].sort();
    const names = rules.map(({ alert }) => alert).sort();
    expect(tested(true)).toEqual(names);
    expect(tested(false)).toEqual(names);
  });

  it('promtool can read every query of the dashboard', () => {
    const work = mkdtempSync(join(tmpdir(), 'qwen-queries-'));
    const records = queries.map(([name, expr], index) => ({ record: `q:${index}`, expr: filledIn(expr), labels: { name } }));
    writeFileSync(join(work, 'queries.yml'), JSON.stringify({ groups: [{ name: 'queries', rules: records }] }));
    expect(run('promtool', ['check', 'rules', 'queries.yml'], { cwd: work })).toMatchObject({ status: 0 });
    rmSync(work, { recursive: true });
  });
});

describe('the dashboard', () => {
  it('is found by its provisioning, which names no file that is missing', () => {
    const { providers } = parse(readFileSync(join(folder, 'grafana/provisioning/dashboards/qwen-image-server.yml'), 'utf8')) as {
      providers: { type: string }[];
    };
    expect(providers).toMatchObject([{ type: 'file' }]);
    expect(readdirSync(join(folder, 'grafana')).filter((name) => name.endsWith('.json'))).toEqual([`${dashboard.uid}.json`]);
  });

  it('has panels that lie beside each other, on a grid of 24', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });

  it('asks the data source that was chosen, for the servers that were chosen', () => {
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance']);
    for (const { targets = [] } of charts) {
      expect(targets.length).toBeGreaterThan(0);
      for (const { datasource, expr } of targets) {
        expect(datasource.uid).toBe('${datasource}');
        for (const { labels } of selectorsOf(filledIn(expr))) expect(labels).toContain('instance');
      }
    }
  });
});

describe('the names in the queries', () => {
  /** Labels by metric, of what the service has after it drew a picture and refused one. */
  const labelsOf = new Map<string, Set<string>>();
  let text = '';

  beforeAll(async () => {
    const server = await Server.ready();
    const client = new Client(server);
    expect((await client.postJson(small)).status).toBe(200);
    expect((await client.postJson({ prompt: '' })).status).toBe(400);
    text = await (await client.get('/metrics')).text();
    await server.stop();
    for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
      const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
      const known = labelsOf.get(name) ?? new Set();
      for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
      labelsOf.set(name, known);
    }
    // What Prometheus itself adds.
    labelsOf.set('up', new Set());
    for (const labels of labelsOf.values()) labels.add('instance').add('job');
  });

  it('are those of a scrape that promtool has one thing to say about', () => {
    const remarks = run('promtool', ['check', 'metrics'], { input: text }).text.split('\n').filter(Boolean);
    // Quantiles of the time since the last scrape: what a summary is not, so it is a gauge.
    expect([...new Set(remarks)]).toEqual([
      'qwen_image_event_loop_lag_seconds non-summary metrics should not have "quantile" label',
    ]);
  });

  it.each(queries)('%s: are told by the service', (_, expr) => {
    const selectors = selectorsOf(filledIn(expr));
    expect(selectors.length).toBeGreaterThan(0);
    for (const { metric, labels } of selectors) {
      const known = [...(labelsOf.get(metric) ?? [])];
      expect({ metric, known }).toEqual({ metric, known: expect.arrayContaining([...labels, 'instance']) });
    }
    const all = new Set(selectors.flatMap(({ metric }) => [...(labelsOf.get(metric) ?? [])]));
    expect([...all]).toEqual(expect.arrayContaining(groupingsOf(expr)));
  });
});
