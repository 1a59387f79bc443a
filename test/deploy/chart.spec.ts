import { loadConfig, type AppConfig } from '@app/config';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { inherited, parseDockerfile, assignments } from '../image/dockerfile.js';
import { projectRoot, Server } from '../e2e/server.js';
import { all, chartFolder, one, podOf, refusalsOf, renderAll, type Rendered } from './chart.js';
import { deployFolder, runTool } from './tools.js';

const examplesFolder = join(deployFolder, 'helm/examples');
const examples = readdirSync(examplesFolder).sort();
/** Of the Prometheus operator: Kubernetes' own schemas do not have them. */
const operatorKinds = ['PrometheusRule', 'ServiceMonitor'];
const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };
const hash = 'ab'.repeat(32);

const oneKey = `auth: { keys: [{ name: alice, sha256: ${hash} }] }`;
const allRendered = renderAll([...examples.map((name) => readFileSync(join(examplesFolder, name), 'utf8')), '{}', oneKey]);
const [cpuDemo, gpu, , withoutKeys, withKey] = allRendered as [Rendered, Rendered, Rendered, Rendered, Rendered];

function namesOf(list: readonly { name: string }[]): string[] {
  return list.map(({ name }) => name).sort();
}

/** What Kubernetes' schemas say of manifests. */
function validate(manifests: readonly object[], kubernetes: string) {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-manifests-'));
  const file = join(folder, 'manifests.yaml');
  writeFileSync(file, manifests.map((manifest) => stringify(manifest)).join('---\n'));
  const ran = runTool('kubernetes-validate', ['--strict', '--kubernetes-version', kubernetes, file]);
  rmSync(folder, { recursive: true });
  return ran;
}

/** The configuration that the server makes of what the chart gives it. */
function configOf(rendered: Rendered, folder: string): AppConfig {
  const [container] = podOf(rendered).containers;
  const file = join(folder, 'server.yaml');
  // The keys come from a Secret: here a file of the test takes their place.
  const keys = join(folder, 'keys.yaml');
  writeFileSync(keys, stringify([{ name: 'alice', sha256: hash }]));
  const text = one('ConfigMap', rendered).data['server.yaml'] ?? '';
  writeFileSync(file, text.replace('/etc/qwen-image-server/keys/keys.yaml', keys));
  const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value ?? 'redis://:secret@redis:6379']));
  const loaded = loadConfig({ argv: ['--config', file], env, cwd: '/app', projectRoot });
  if (loaded.kind !== 'config') throw new Error(loaded.kind);
  return loaded.config;
}

it('has examples', () => expect(examples).toEqual(['cpu-demo.yaml', 'gpu.yaml', 'hardened.yaml']));

it('is the chart of this version, with the alert rules of this version', () => {
  expect(parse(readFileSync(join(chartFolder, 'Chart.yaml'), 'utf8'))).toMatchObject({ appVersion: version });
  expect(readFileSync(join(chartFolder, 'files/alerts.yml'), 'utf8')).toBe(
    readFileSync(join(deployFolder, 'monitoring/alerts.yml'), 'utf8'),
  );
});

it("Kubernetes' schemas would find a wrong field", () => {
  const { spec, ...service } = one('Service', cpuDemo);
  const wrong = { ...service, spec: { ...spec, typ: 'ClusterIP' } };
  expect(validate([wrong], '1.37.0')).toMatchObject({ status: 1, text: expect.stringContaining("'typ' was unexpected") });
});

describe.each(examples.map((name, index) => [name, allRendered[index]!] as const))('%s', (_, rendered) => {
  const deployment = one('Deployment', rendered);
  const pod = podOf(rendered);
  const [server] = pod.containers;
  let folder: string;

  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'qwen-chart-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('renders, and helm lint has nothing to say', () => expect(rendered.remarks).toEqual([]));

  it.each(['1.25.0', '1.37.0'])('fits the schemas of Kubernetes %s', (kubernetes) => {
    const manifests = rendered.manifests.filter(({ kind }) => !operatorKinds.includes(kind));
    const { status, text } = validate(manifests, kubernetes);
    expect(text.match(/^INFO .* passed for resource /gm)).toHaveLength(manifests.length);
    expect(status).toBe(0);
  });

  it('selects its own pods, and nothing by a name that is not there', () => {
    const service = one('Service', rendered);
    const selectors = [
      service.spec.selector,
      deployment.spec.selector.matchLabels,
      ...all('NetworkPolicy', rendered).map(({ spec }) => spec.podSelector.matchLabels),
      ...all('PodDisruptionBudget', rendered).map(({ spec }) => spec.selector.matchLabels),
    ];
    for (const selector of selectors) expect(deployment.spec.template.metadata.labels).toMatchObject(selector);
    for (const { spec } of all('ServiceMonitor', rendered)) {
      expect(service.metadata.labels).toMatchObject(spec.selector.matchLabels);
      expect(service.metadata.labels[spec.jobLabel]).toBe('qwen-image-server');
      expect(spec.endpoints).toMatchObject([{ port: service.spec.ports[0].name, path: '/metrics' }]);
    }
    expect(namesOf(server.volumeMounts)).toEqual(namesOf(pod.volumes));
    expect(server.ports[0]?.name).toBe(service.spec.ports[0].targetPort);
  });

  it('has one server, whose successor waits for its end', () => {
    expect(deployment.spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
  });

  it('gives the server settings that it takes', () => {
    const config = configOf(rendered, folder);
    expect(config.server).toMatchObject({ host: '0.0.0.0', port: server.ports[0]?.containerPort });
    expect(config.jobs.directory.startsWith(mountOf('state'))).toBe(true);
    expect(server.args).toEqual(['--config', `${mountOf('config')}/server.yaml`]);
    if (config.model.path !== join(projectRoot, 'models/demo'))
      expect(config.model.path.startsWith(mountOf('weights'))).toBe(true);
    expect(config.auth.keys !== null).toBe(namesOf(pod.volumes).includes('keys'));
  });

  it('leaves the pod the time that the server takes to end', () => {
    const { server: settings } = configOf(rendered, folder);
    const preStop = Number(server.lifecycle.preStop.exec.command[1]);
    // Behind the running job: its answer, the engine and open connections, 5 s each (apps/api/src/shutdown.ts).
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(preStop + settings.shutdownGraceMs / 1000 + 15);
    expect(pod.terminationGracePeriodSeconds).toBeLessThanOrEqual(preStop + settings.shutdownGraceMs / 1000 + 30);
  });

  it('runs without rights: the restricted pod security standard', () => {
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(server.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(pod).not.toMatchObject({ hostNetwork: true });
  });

  function mountOf(volume: string): string {
    return server.volumeMounts.find((mount) => mount.name === volume)?.mountPath ?? 'nowhere';
  }
});

it('is of one mind with the image', () => {
  const [onCpu, onGpu] = [podOf(cpuDemo), podOf(gpu)];
  expect(onCpu.containers[0].image).toMatch(new RegExp(`:${version}-cpu$`));
  expect(onGpu.containers[0].image).toMatch(new RegExp(`:${version}-cuda$`));
  const runtime = inherited('runtime', parseDockerfile(readFileSync(join(projectRoot, 'Dockerfile'), 'utf8')));
  const textsOf = (instruction: string) => runtime.filter(({ name }) => name === instruction).map(({ text }) => text);
  expect(textsOf('ENV').map(assignments)).toMatchObject([
    Object.fromEntries(onCpu.containers[0].env.map(({ name, value }) => [name, value])),
  ]);
  expect(textsOf('USER')).toEqual([`${onCpu.securityContext.runAsUser}:${onCpu.securityContext.runAsGroup}`]);
  expect(textsOf('VOLUME')).toEqual(
    onCpu.containers[0].volumeMounts.filter(({ name }) => name === 'state').map(({ mountPath }) => mountPath),
  );
  expect(textsOf('EXPOSE')).toEqual(onCpu.containers[0].ports.map(({ containerPort }) => String(containerPort)));
});

it('asks probes that the server has', async () => {
  const [container] = podOf(cpuDemo).containers;
  const server = await Server.ready();
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
    expect((await fetch(`${server.url}${container[probe].httpGet.path}`)).status).toBe(200);
  }
  await server.stop();
});

it('gives a GPU pod one GPU, its taint and the CUDA device', () => {
  const { tolerations, containers } = podOf(gpu);
  expect(tolerations).toEqual([{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]);
  for (const side of ['requests', 'limits']) expect(containers[0].resources[side]).toMatchObject({ 'nvidia.com/gpu': 1 });
  expect(one('ConfigMap', gpu).data['server.yaml']).toContain('device: cuda');
});

it('makes a Secret of keys, and says when there are none', () => {
  expect(withoutKeys.notes).toContain('It has no API keys');
  expect(withKey.notes).not.toContain('It has no API keys');
  const secret = podOf(withKey).volumes.find(({ name }) => name === 'keys')?.secret;
  expect(one('Secret', withKey)).toMatchObject({
    metadata: { name: secret?.secretName },
    stringData: { 'keys.yaml': `- name: alice\n  sha256: ${hash}\n` },
  });
});

const refused: [string, string][] = [
  ['replicaCount: 2', 'replicaCount is 2, allowed are 0 and 1: one server owns one jobs folder and one device'],
  ['replicaCount: -1', 'replicaCount'],
  [
    'config: { server: { port: 80 } }',
    'config.server.port is not for the values: the chart sets it; service.port is what clients see',
  ],
  ['config: { jobs: { directory: /data } }', 'config.jobs.directory is not for the values'],
  ['config: { model: { path: /m } }', 'config.model.path is not for the values: set model.existingClaim or model.hostPath'],
  ['config: { auth: { keys: [] } }', 'config.auth.keys is not for the values: set auth.keys or auth.existingSecret'],
  ['config: { redis: { url: "redis://x" } }', 'config.redis.url is not for the values: set redis.existingSecret'],
  ['config: { rateLimit: { storage: redis } }', 'config.rateLimit.storage is redis: set redis.existingSecret'],
  ['model: { existingClaim: a, hostPath: /b }', 'model.existingClaim and model.hostPath: set one of the two'],
  ['model: { hostPath: b }', '/model/hostPath'],
  ['model: { folder: b }', 'model.folder needs model.existingClaim or model.hostPath'],
  [`auth: { existingSecret: a, keys: [{ name: b, sha256: ${hash} }] }`, 'auth.keys and auth.existingSecret: set one of the two'],
  ['auth: { keys: [{ name: a, sha256: the-key-itself }] }', '/auth/keys/0/sha256'],
  ['serviceMonitor: { enabled: true }\nauth: { existingSecret: a }', 'needs serviceMonitor.keySecret.name'],
  ['replicas: 2', "'replicas' not allowed"],
  ['gpu: { enabled: "yes" }', '/gpu/enabled'],
  ['podDisruptionBudget: { maxUnavailable: 2 }', '/podDisruptionBudget/maxUnavailable'],
];

describe('what it refuses', () => {
  const refusals = refusalsOf(refused.map(([values]) => values));

  it.each(refused.map(([values, message], index) => [values, message, refusals[index]] as const))('%s', (_, message, refusal) => {
    expect(refusal).toContain(message);
  });
});
