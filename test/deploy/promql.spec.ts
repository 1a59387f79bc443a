import { groupingsOf, selectorsOf } from './promql.js';

it.each([
  ['up == 0', [{ metric: 'up', labels: [] }]],
  ['rate(a_total{x="b_total{", y!~".*"}[5m]) > 0.5', [{ metric: 'a_total', labels: ['x', 'y'] }]],
  [
    'sum by (le, c) (rate(a_bucket[$__rate_interval])) / on (c) b and d unless d offset 10m',
    [
      { metric: 'a_bucket', labels: [] },
      { metric: 'b', labels: [] },
      { metric: 'd', labels: [] },
      { metric: 'd', labels: [] },
    ],
  ],
  [
    'x < 1e9 or x > 1.5e9',
    [
      { metric: 'x', labels: [] },
      { metric: 'x', labels: [] },
    ],
  ],
  ['histogram_quantile(0.95, x) * 60', [{ metric: 'x', labels: [] }]],
])('reads what %s asks for', (query, selectors) => {
  expect(selectorsOf(query)).toEqual(selectors);
});

it('reads what a query groups by', () => {
  expect(groupingsOf('sum by (le, c) (x) / on (c) y')).toEqual(['le', 'c', 'c']);
});
