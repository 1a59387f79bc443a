import { ConfigSource } from './config-source.js';
import { explainUnknown, variableName } from './setting-keys.js';
import { settings } from './settings.js';

/** Variables of the project that are no settings: they belong to its test scripts. */
const otherVariables: readonly string[] = ['QWEN_SLOW'];

/** Kubernetes puts these into every container for a Service whose name begins with `qwen`: nobody meant them as settings. */
const serviceLink = /_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$/;

export function readEnvironmentSource(env: NodeJS.ProcessEnv): ConfigSource {
  const source = new ConfigSource();
  const byVariable = new Map(settings.map((setting) => [variableName(setting.key), setting]));
  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith('QWEN_') || otherVariables.includes(variable)) continue;
    const origin = `variable ${variable}`;
    const setting = byVariable.get(variable);
    if (setting) source.setText(setting, text, origin);
    else if (!isServiceLink(variable, text)) source.fault(variable, origin, explainUnknown(variable, variableName));
  }
  return source;
}

function isServiceLink(variable: string, text: string): boolean {
  return (
    serviceLink.test(variable) && (!variable.endsWith('_PORT') || variable.endsWith('_SERVICE_PORT') || /^(tcp|udp):/.test(text))
  );
}
