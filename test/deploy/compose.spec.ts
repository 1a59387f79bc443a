import { loadConfig } from '@app/config';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { projectRoot } from '../e2e/server.js';
import { inherited, parseDockerfile } from '../image/dockerfile.js';
import { deployFolder, runTool } from './tools.js';

interface Service {
  image: string;
  build?: { target: string };
  environment?: Record<string, string>;
  read_only?: boolean;
  cap_drop: string[];
  security_opt: string[];
  shm_size?: string;
  stop_grace_period?: string;
  networks: { default: { aliases: string[] } | null };
  ports?: { host_ip: string; target: number }[];
  secrets?: { source: string; target: string }[];
  volumes?: { type: string; source: string; target: string; read_only?: boolean }[];
  deploy?: { resources: { reservations: { devices: object[] } } };
}

interface Composed {
  services: Record<string, Service>;
  secrets?: Record<string, { file: string }>;
}

const servers = ['cpu-demo', 'gpu'];
const withKeys = ['--file', 'docker-compose.yml', '--file', 'deploy/compose/api-keys.yml'];

/** What docker compose makes of the files: it checks them against the Compose specification and fills them in. */
function compose(profiles: readonly string[], files: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Composed {
  const options = [...files, ...profiles.flatMap((profile) => ['--profile', profile])];
  const { status, text } = runTool('docker-compose', [...options, 'config', '--format', 'json'], { cwd: projectRoot, env });
  if (status !== 0) throw new Error(text);
  return JSON.parse(text) as Composed;
}

function read(path: string): unknown {
  return parse(readFileSync(join(deployFolder, path), 'utf8'));
}

it.each([
  [['cpu-demo'], ['cpu-demo']],
  [['gpu'], ['gpu']],
  [
    ['cpu-demo', 'redis'],
    ['cpu-demo', 'redis'],
  ],
  [
    ['gpu', 'monitoring'],
    ['gpu', 'grafana', 'prometheus'],
  ],
  [['*'], ['cpu-demo', 'gpu', 'grafana', 'prometheus', 'redis']],
])('profiles %j start %j', (profiles, names) => {
  expect(Object.keys(compose(profiles).services).sort()).toEqual(names);
  expect(Object.keys(compose(profiles, withKeys).services).sort()).toEqual(names);
});

it('docker compose would find a wrong key', () => {
  const folder = mkdtempSync(join(tmpdir(), 'qwen-compose-'));
  const file = join(folder, 'compose.yml');
  writeFileSync(file, readFileSync(join(projectRoot, 'docker-compose.yml'), 'utf8').replace('shm_size', 'shm_sise'));
  const { status, text } = runTool('docker-compose', ['--file', file, '--profile', 'gpu', 'config', '--quiet']);
  expect(text).toContain('shm_sise');
  expect(status).not.toBe(0);
  rmSync(folder, { recursive: true });
});

describe('docker-compose.yml', () => {
  const { services } = compose(['*']);
  const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };

  it.each(Object.entries(services))('%s is of a pinned version, without rights and not open to other machines', (_, service) => {
    expect(service.image).toMatch(/:v?\d+\.\d+\.\d+(-[a-z]+)?$/);
    expect(service.cap_drop).toEqual(['ALL']);
    expect(service.security_opt).toEqual(['no-new-privileges:true']);
    for (const { host_ip } of service.ports ?? []) expect(host_ip).toBe('127.0.0.1');
    for (const { type, source, read_only } of service.volumes ?? []) {
      if (type === 'bind') expect([source, existsSync(source), read_only]).toEqual([source, true, true]);
    }
  });

  it.each(servers)('%s is the image of this version, on a read-only root, with its jobs on a volume', (name) => {
    const service = services[name]!;
    const stages = parseDockerfile(readFileSync(join(projectRoot, 'Dockerfile'), 'utf8'));
    const instructions = inherited(service.build?.target ?? '', stages);
    const textOf = (wanted: string) => instructions.find((each) => each.name === wanted)?.text;
    expect(service).toMatchObject({ image: `qwen-image-server:${version}-${name === 'gpu' ? 'cuda' : 'cpu'}`, read_only: true });
    expect(service.volumes).toContainEqual(expect.objectContaining({ type: 'volume', source: name, target: textOf('VOLUME') }));
    expect(service.ports?.map(({ target }) => String(target))).toEqual([textOf('EXPOSE')]);
    expect(Number(service.shm_size)).toBe(2 ** 30);
  });

  it.each(servers)('gives %s settings that it takes, and the time that it takes to end', (name) => {
    const service = services[name]!;
    const loaded = loadConfig({ argv: [], env: service.environment ?? {}, cwd: '/app', projectRoot });
    if (loaded.kind !== 'config') throw new Error(loaded.kind);
    const { server, model, rateLimit } = loaded.config;
    expect(model.path.startsWith(name === 'gpu' ? '/models/' : projectRoot)).toBe(true);
    expect(rateLimit.storage).toBe('memory');
    const [, minutes = 0, seconds = 0] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(service.stop_grace_period ?? '') ?? [];
    // Behind the running job: its answer, the engine and open connections, 5 s each (apps/api/src/shutdown.ts).
    expect(Number(minutes) * 60 + Number(seconds)).toBeGreaterThan(server.shutdownGraceMs / 1000 + 15);
  });

  it('gives the GPU to the one that asks for it', () => {
    expect(services['gpu']?.deploy?.resources.reservations.devices).toEqual([
      { driver: 'nvidia', count: 1, capabilities: ['gpu'] },
    ]);
    expect(services['cpu-demo']?.deploy).toBeUndefined();
  });

  it('counts rate limits in the Redis of its profile', () => {
    const environment = compose(['*'], [], { RATE_LIMIT_STORAGE: 'redis' }).services['gpu']?.environment ?? {};
    const loaded = loadConfig({ argv: [], env: environment, cwd: '/app', projectRoot });
    expect(loaded).toMatchObject({ config: { rateLimit: { storage: 'redis' }, redis: { url: 'redis://redis:6379' } } });
  });

  it('lets Prometheus find the servers and Grafana its dashboard and Prometheus', () => {
    const { scrape_configs } = read('monitoring/prometheus.yml') as {
      scrape_configs: { dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const [target] = scrape_configs[0]?.dns_sd_configs ?? [];
    for (const name of servers) {
      expect(services[name]?.networks.default?.aliases).toEqual(target?.names);
      expect(services[name]?.ports?.[0]?.target).toBe(target?.port);
    }
    const { datasources } = read('monitoring/grafana/provisioning/datasources/prometheus.yml') as {
      datasources: { url: string }[];
    };
    expect(datasources.map(({ url }) => new URL(url).hostname)).toEqual(['prometheus']);
    const { providers } = read('monitoring/grafana/provisioning/dashboards/qwen-image-server.yml') as {
      providers: { options: { path: string } }[];
    };
    const mounted = services['grafana']?.volumes?.map(({ target: at }) => at);
    expect(mounted).toContain(`${providers[0]?.options.path ?? ''}/qwen-image-server.json`);
  });
});

describe('deploy/compose/api-keys.yml', () => {
  const { services, secrets = {} } = compose(['*'], withKeys);

  it.each(servers)('tells %s where its keys are', (name) => {
    const { environment = {}, secrets: mounted = [] } = services[name]!;
    expect(mounted.map(({ target }) => target)).toEqual([environment['QWEN_AUTH_KEYS']]);
    const keys = join(mkdtempSync(join(tmpdir(), 'qwen-keys-')), 'keys.yaml');
    writeFileSync(keys, `- { name: alice, sha256: "${'ab'.repeat(32)}" }\n`);
    const loaded = loadConfig({ argv: [], env: { ...environment, QWEN_AUTH_KEYS: keys }, cwd: '/app', projectRoot });
    expect(loaded).toMatchObject({ config: { auth: { keys: [{ name: 'alice' }] } } });
    rmSync(join(keys, '..'), { recursive: true });
  });

  it('changes nothing for Prometheus but the key that it sends', () => {
    const { scrape_configs: [job] = [], ...rest } = read('compose/prometheus-with-key.yml') as { scrape_configs?: object[] };
    const { authorization, ...others } = job as { authorization: { credentials_file: string } };
    expect({ ...rest, scrape_configs: [others] }).toEqual(read('monitoring/prometheus.yml'));
    expect(services['prometheus']?.secrets?.map(({ target }) => target)).toEqual([authorization.credentials_file]);
    expect(Object.keys(secrets).sort()).toEqual(['keys.yaml', 'metrics-key']);
  });
});
