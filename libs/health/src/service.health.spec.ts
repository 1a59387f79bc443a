import { findProjectRoot } from '@app/engine';
import { HealthIndicatorService } from '@nestjs/terminus';
import { ScriptedEngine } from '../../../test/fixtures/scripted-engine.js';
import { ServiceHealth } from './service.health.js';

describe(ServiceHealth.name, () => {
  let engine: ScriptedEngine;
  let draining: boolean;
  let ofDisk: string | null;
  let ofMemory: string | null;
  let health: ServiceHealth;

  beforeEach(() => {
    engine = new ScriptedEngine();
    draining = false;
    ofDisk = ofMemory = null;
    engine.become({ choice: { name: 'demo', folder: '/srv/models/demo' } });
    health = healthOf(engine);
  });

  function healthOf(of: ScriptedEngine): ServiceHealth {
    const inference = {
      get isDraining() {
        return draining;
      },
      depth: () => ({ pending: 3, running: 1, max: 64 }),
    };
    const software = { name: 'qwen-image-server', version: '1.2.3' };
    const storage = { use: () => ({ jobsUsed: 70, jobsMax: 100, free: 5000, refusal: ofDisk }) };
    const admission = {
      get refusalOfAll() {
        return ofMemory;
      },
    };
    const indicators = new HealthIndicatorService();
    return new ServiceHealth(of as never, inference as never, storage as never, admission as never, software, indicators);
  }

  afterEach(() => jest.useRealTimers());

  it('tells all of a service that is well', () => {
    expect(health.report()).toEqual({
      status: 'ok',
      model: { id: 'demo', state: 'ready', progress: null, error: null },
      engine: { state: 'ready', restarts: 0, uptime_s: expect.any(Number) },
      queue: { pending: 3, running: 1, max: 64 },
      disk: { jobs_used: 70, jobs_max: 100, free: 5000, error: null },
      device: { type: 'cpu', name: 'a processor', memory_used: 1000, memory_total: 2000 },
      version: '1.2.3',
      uptime_s: expect.any(Number),
    });
    expect(health.ready()).toEqual({ engine: { status: 'up', state: 'ok' } });
  });

  it.each([
    ['starting', 'loading', 'loading'],
    ['loading', 'loading', 'loading'],
    ['restarting', 'restarting', 'loading'],
    ['unloading', 'unloaded', 'unloading'],
    ['unloaded', 'unloaded', 'unloaded'],
    ['failed', 'failed', 'failed'],
    ['stopped', 'unloaded', 'unloaded'],
  ] as const)('calls an engine that is %s %s, and up for no time', (state, status, modelState) => {
    engine.become({ state, retryAfterS: 7, readySince: performance.now() - 3000, stats: null });
    expect(health.report()).toMatchObject({ status, model: { state: modelState }, engine: { state, uptime_s: 0 } });
    expect(health.ready()).toMatchObject({ engine: { status: 'down' } });
    expect(health.retryAfterS()).toBe(7);
  });

  it.each([
    ['INVALID_MODEL', '/srv/models/demo/vae/config.json: no such file', 'vae/config.json: no such file'],
    ['INVALID_MODEL', '/srv/models/demo: no such folder', 'demo: no such folder'],
    ['INVALID_MODEL', `${findProjectRoot()}/config/models/X.json: no such file`, 'config/models/X.json: no such file'],
    ['ENGINE_UNAVAILABLE', '/srv/build/qwen_image.node: cannot open', 'the engine cannot start; its log says why'],
  ] as const)('tells why a load failed (%s, %s), and no path of this machine', (code, message, told) => {
    engine.become({ state: 'failed', model: null, error: { code, message } });
    expect(health.report().model).toMatchObject({ state: 'failed', error: told });
    expect(health.report().device).toBeNull();
  });

  it.each([-86_400_000, 86_400_000])('counts seconds as before when the wall clock is set by %i ms', (jumpMs) => {
    jest.useFakeTimers();
    engine.become({ readySince: performance.now() });
    jest.advanceTimersByTime(90_500);
    jest.setSystemTime(Date.now() + jumpMs);
    expect(health.report().engine.uptime_s).toBe(90);
  });

  it.each([
    ['the disk takes no job', { disk: { error: 'no room' }, model: { state: 'ready', error: null } }],
    ['no picture fits beside the model', { disk: { error: null }, model: { state: 'ready', error: 'no memory' } }],
  ])('has failed while %s, says why, and is ready again when that is over', (_what, told) => {
    ofDisk = told.disk.error;
    ofMemory = told.model.error;
    expect(health.report()).toMatchObject({ status: 'failed', engine: { state: 'ready' }, ...told });
    expect(health.isReady()).toBe(false);
    expect(health.ready()).toEqual({ engine: { status: 'down', state: 'failed' } });
    expect(health.startup()).toMatchObject({ model: { status: 'up' } });
    expect(health.retryAfterS()).toBe(10);
    ofDisk = ofMemory = null;
    expect(health.report()).toMatchObject({ status: 'ok', disk: { error: null }, model: { error: null } });
    expect(health.isReady()).toBe(true);
  });

  it('says what the engine and the server are doing also while the disk takes no job', () => {
    ofDisk = 'no room';
    engine.become({ state: 'loading', model: null });
    expect(health.report().status).toBe('loading');
    draining = true;
    expect(health.report().status).toBe('draining');
  });

  it('is draining whatever the engine is', () => {
    draining = true;
    expect(health.report().status).toBe('draining');
    expect(health.ready()).toMatchObject({ engine: { status: 'down' } });
    expect(health.retryAfterS()).toBeGreaterThan(0);
  });

  it('has started once the first model was loaded, and stays so', () => {
    const unloaded = new ScriptedEngine();
    unloaded.become({ state: 'loading', model: null });
    health = healthOf(unloaded);
    expect(health.startup()).toMatchObject({ model: { status: 'down' } });
    unloaded.become({ state: 'ready', model: engine.status().model });
    // Nobody asks now.
    unloaded.become({ state: 'restarting', model: null });
    expect(health.startup()).toMatchObject({ model: { status: 'up' } });
  });
});
