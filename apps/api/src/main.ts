// First: the other modules take a while to load, and a signal that comes meanwhile counts. As process 1 of a container nothing else heeds it.
import './signals.js';
import { ConfigError, loadConfig, type AppConfig } from '@app/config';
import { projectRoot } from './project-root.js';

/** Null: something else was asked for, and is done. */
async function readConfig(): Promise<AppConfig | null> {
  const argv = process.argv.slice(2);
  const isTerminal = process.stdout.isTTY;
  try {
    const loaded = loadConfig({ argv, env: process.env, cwd: process.cwd(), projectRoot, isTerminal });
    if (loaded.kind === 'config') return loaded.config;
    if (loaded.kind === 'check') await check(loaded.config);
    else process.stdout.write(loaded.text);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
  return null;
}

async function check(config: AppConfig): Promise<void> {
  const { checkModel } = await import('./check-model.js');
  process.exitCode = (await checkModel(config.model)) ? 0 : 1;
}

async function main(): Promise<void> {
  const config = await readConfig();
  if (!config) return;
  // Not before: a wrong setting is told at once.
  const { serve } = await import('./serve.js');
  await serve(config);
}

main().catch((error: unknown) => {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`the server cannot start: ${reason}\n`);
  process.exit(1);
});
