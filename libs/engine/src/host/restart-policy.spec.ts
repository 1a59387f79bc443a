import { defaultRestartLimits, RestartPolicy } from './restart-policy.js';

describe(RestartPolicy.name, () => {
  it('doubles the delay from half a second up to thirty', () => {
    const policy = new RestartPolicy();
    const delays = Array.from({ length: 9 }, () => policy.delayAfterDeath(null));
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('begins anew after a healthy life, and only after one', () => {
    const policy = new RestartPolicy();
    policy.delayAfterDeath(null);
    policy.delayAfterDeath(null);
    expect(policy.delayAfterDeath(defaultRestartLimits.healthyAfterMs - 1)).toBe(2000);
    expect(policy.delayAfterDeath(defaultRestartLimits.healthyAfterMs)).toBe(500);
  });

  it('gives up hope after the third death', () => {
    const policy = new RestartPolicy();
    policy.delayAfterDeath(null);
    policy.delayAfterDeath(null);
    expect(policy.hopeless).toBe(false);
    policy.delayAfterDeath(null);
    expect(policy.hopeless).toBe(true);
  });
});
